// Waveform over spectrogram, drawn while it is on the screen, from a few bytes a file.

const MAGMA = ("000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 d0416f e75263 f56b5c fc8961 fea772 " +
  "fec488 fde2a3 fcfdbf").split(" ").map(hex => [0, 2, 4].map(at => parseInt(hex.slice(at, at + 2), 16)));
const WAVE_SHARE = 0.36;
const spectrum = document.createElement("canvas");
const MOST_MS_A_FRAME = 12;
const near = new Set(), drawn = new Set();
let isDrawing = false;

/** The colour of each level 0 to 255, as a pixel of four bytes. */
const palette = new Uint32Array(Uint8ClampedArray.from({ length: 4 * 256 }, (_, at) => {
  if (at % 4 === 3) return 255;
  const place = Math.floor(at / 4) / 255 * (MAGMA.length - 1), below = Math.min(Math.floor(place), MAGMA.length - 2);
  const [low, high] = [MAGMA[below][at % 4], MAGMA[below + 1][at % 4]];
  return low + (high - low) * (place - below);
}).buffer);

function bytesOf(text) {
  const characters = atob(text), bytes = new Uint8Array(characters.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = characters.charCodeAt(at);
  return bytes;
}

function draw(canvas) {
  const { picture } = files[canvas.dataset.file];
  const { clientWidth, clientHeight } = canvas;
  if (!picture || !clientWidth) return;
  const bytes = bytesOf(picture), length = bytes.length / (data.bands + 2);
  const scale = Math.min(2, devicePixelRatio || 1);
  const width = canvas.width = Math.round(clientWidth * scale);
  const height = canvas.height = Math.round(clientHeight * scale);
  const wave = Math.round(height * WAVE_SHARE), context = canvas.getContext("2d");
  drawSpectrum(bytes.subarray(2 * length), length);
  context.drawImage(spectrum, 0, wave, width, height - wave);
  context.fillStyle = getComputedStyle(canvas).color;
  const step = width / length, y = value => Math.round(wave * (1 - value / 255));
  for (let column = 0; column < length; column++) {  // whole pixels, which are quickly filled
    const left = Math.round(column * step), right = Math.round((column + 1) * step);
    const top = y(bytes[length + column]), bottom = y(bytes[column]);
    context.fillRect(left, top, Math.max(1, right - left), Math.max(scale, bottom - top));
  }
}

/** Draw levels, band by band from the lowest, into the canvas that others are drawn from. */
function drawSpectrum(levels, length) {
  spectrum.width = length;
  spectrum.height = data.bands;
  const context = spectrum.getContext("2d"), image = context.createImageData(length, data.bands);
  const pixels = new Uint32Array(image.data.buffer);
  for (let band = 0; band < data.bands; band++) {
    const row = (data.bands - 1 - band) * length;
    for (let column = 0; column < length; column++) pixels[row + column] = palette[levels[band * length + column]];
  }
  context.putImageData(image, 0, 0);
}

/** Has what comes near the screen drawn, and gives back the memory of what has left it. */
const watcher = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) near.add(target);
    else {
      near.delete(target);
      drawn.delete(target);
      target.width = target.height = 0;
    }
  }
  if (!isDrawing) requestAnimationFrame(drawSome);
  isDrawing = true;
}, { rootMargin: "400px" });

/** Draw what is near for some milliseconds, and the rest in the next frames, so that scrolling stays smooth. */
function drawSome() {
  const end = performance.now() + MOST_MS_A_FRAME;
  for (const canvas of near) {
    if (performance.now() > end) return requestAnimationFrame(drawSome);
    near.delete(canvas);
    drawn.add(canvas);
    draw(canvas);
  }
  isDrawing = false;
}

/** A picture of a file, in which a playhead can be. */
function picture(index, label) {
  const canvas = make("canvas", { width: 0, height: 0, role: "img", "aria-label": label });
  canvas.dataset.file = index;
  watcher.observe(canvas);
  return make("div", { className: "picture" }, canvas, make("i", { className: "head" }));
}

function redraw() {
  for (const canvas of drawn) draw(canvas);
}
