// One sound at a time. Nothing is decoded before it is played.

const audio = $("audio");
const player = { current: -1, url: "", ready: null };

/** The element that carries the sound of a file, once it has come with all of its text: the page may still be loading. */
async function carrier(index) {
  while (!$(`sound-${index}`)?.nextSibling && document.readyState === "loading") {
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  return $(`sound-${index}`);
}

/** Have a file be the one that is played; whether it still is when it is ready. */
async function load(index) {
  if (player.current !== index) {
    audio.pause();
    moveHead(player.current, 0);
    player.current = index;
    player.ready = prepare(index);
    say("");
    showPlayer();
  }
  const isReady = await player.ready;
  return isReady && player.current === index;
}

async function prepare(index) {
  let address = files[index].href;
  if (!data.linked) {
    const element = await carrier(index);
    if (player.current !== index) return false;
    if (!element) {
      say("The sound is not in the page, which was cut short when it was copied.");
      return false;
    }
    address = URL.createObjectURL(new Blob([bytesOf(element.textContent)], { type: "audio/mpeg" }));
  }
  if (player.url) URL.revokeObjectURL(player.url);
  player.url = data.linked ? "" : address;
  audio.src = address;
  return true;
}

/** Play a file from `seconds`, or from where it is. */
async function play(index, seconds) {
  if (files[index].problem) return say(files[index].problem);
  if (!await load(index)) return;
  if (seconds !== undefined) audio.currentTime = seconds;
  try {
    await audio.play();
  } catch (error) {
    if (error.name !== "AbortError" && player.current === index) fail();
  }
}

function toggle(index) {
  if (index < 0) return;
  if (index === player.current && !audio.paused) audio.pause();
  else play(index);
}

function stop() {
  audio.pause();
  if (player.current >= 0) audio.currentTime = 0;
  follow();
}

function seek(by) {
  if (player.current < 0) return;
  audio.currentTime = Math.min(Math.max(0, audio.currentTime + by), files[player.current].seconds - 0.01);
  follow();
}

function say(text) {
  $("message").textContent = text;
}

function fail() {
  say(data.linked ? "The file is not there, or this browser cannot play it." : "This browser cannot play it.");
}

/** What plays is told in the footer, or what is selected where nothing does. */
function showAbout() {
  const index = player.current >= 0 ? player.current : state.at;
  if (index < 0) return;
  $("now").textContent = files[index].name;
  $("about").textContent = about(index);
}

/** Put the playhead of a file at a part of its length, 0 to 1, wherever it is shown. */
function moveHead(index, part) {
  for (const element of index < 0 ? [] : [rows[index], tiles[index]]) element?.style.setProperty("--part", part);
}

function showPlayer() {
  const { current } = player, playing = current >= 0 && !audio.paused;
  for (const element of document.querySelectorAll(".playing")) element.classList.remove("playing");
  if (playing) for (const element of [rows[current], tiles[current]]) element?.classList.add("playing");
  for (const button of document.querySelectorAll("button.play[data-file]")) {
    const isIt = playing && Number(button.dataset.file) === current;
    if (button.ariaLabel.startsWith("Pause") !== isIt) {
      button.ariaLabel = `${isIt ? "Pause" : "Play"} ${files[button.dataset.file].name}`;
    }
  }
  $("toggle").ariaLabel = playing ? "Pause" : "Play";
  document.querySelector("footer").classList.toggle("playing", playing);
  showAbout();
  $("position").disabled = current < 0;
  if (playing) requestAnimationFrame(frame);
}

/** Show where the sound is. */
function follow() {
  if (player.current < 0) return;
  const { seconds } = files[player.current], at = Math.min(audio.currentTime, seconds);
  moveHead(player.current, at / seconds);
  $("position").value = at / seconds;
  $("position").ariaValueText = `${at.toFixed(1)} of ${seconds.toFixed(1)} seconds`;
  $("time").textContent = `${clock(at)} / ${clock(seconds)}`;
}

let waiting = false;
function frame() {
  follow();
  if (!audio.paused && !waiting) {
    waiting = true;
    requestAnimationFrame(() => { waiting = false; frame(); });
  }
}

audio.addEventListener("play", showPlayer);
audio.addEventListener("pause", showPlayer);
audio.addEventListener("error", () => { if (player.current >= 0) { fail(); showPlayer(); } });
audio.addEventListener("ended", () => {
  const next = order[order.indexOf(player.current) + 1];
  if (state.advance && next !== undefined) { select(next); play(next, 0); } else stop();
});
$("toggle").addEventListener("click", () => {
  toggle(player.current >= 0 ? player.current : state.at >= 0 ? state.at : order[0] ?? -1);
});
$("position").addEventListener("input", event => {
  audio.currentTime = event.target.value * files[player.current].seconds;
  follow();
});
