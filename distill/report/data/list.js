// The list: a row a file, made once; pictures are drawn as they come near.

const rows = files.map(row);

function row(file, index) {
  const play = make("button", { type: "button", className: "play", "aria-label": `Play ${file.name}` });
  play.dataset.file = index;
  play.disabled = Boolean(file.problem);
  const what = make("div", { className: "what" },
    make("a", { className: "name", href: file.href, title: "The exact file" }, file.name), facts(index, settings));
  const item = make("li", { className: "row", tabIndex: -1 }, play, what);
  item.dataset.file = index;
  if (file.problem) item.append(make("p", { className: "problem" }, file.problem));
  else item.append(picture(index, `Waveform and spectrogram of ${file.name}`));
  const length = file.problem ? "" : clock(file.seconds);
  item.append(make("div", { className: "figures" }, make("span", { className: "length" }, length), facts(index, figures)));
  item.append(make("button", { type: "button", className: "mark", "aria-label": `Mark ${file.name}` }, "★"));
  return item;
}

function showList() {
  $("list").replaceChildren(...order.map(index => rows[index]));
}

$("list").addEventListener("click", event => {
  const item = event.target.closest(".row");
  if (!item) return;
  const index = Number(item.dataset.file);
  if (event.target.closest("a")) return;
  const isOther = select(index, { focus: !event.target.closest("button") });
  if (event.target.closest(".play")) toggle(index);
  else if (event.target.closest(".mark")) mark(index);
  else if (event.target.closest(".picture")) play(index, place(event) * files[index].seconds);
  else if (isOther && state.follow) play(index, 0);
});

/** Where in a picture a click is, 0 to 1. */
function place(event) {
  const { left, width } = event.target.closest(".picture").getBoundingClientRect();
  return Math.min(Math.max(0, (event.clientX - left) / width), 0.999);
}
