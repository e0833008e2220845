// The selection, marks, and the keyboard.

/** Select a file, and show it; whether it is another than before. */
function select(index, { focus = true } = {}) {
  const isOther = index !== state.at;
  state.at = index;
  showSelection();
  const element = (state.view === "sheet" ? tiles : rows)[index];
  if (focus) element?.focus({ preventScroll: true });
  element?.scrollIntoView({ block: "nearest", inline: "nearest" });
  write();
  return isOther;
}

function showSelection() {
  for (const element of document.querySelectorAll("[aria-current]")) {
    element.removeAttribute("aria-current");
    element.tabIndex = -1;
  }
  const isShown = order.includes(state.at), index = isShown ? state.at : order[0];
  showAbout();
  for (const element of index === undefined ? [] : [rows[index], tiles[index]]) {
    if (!element) continue;
    element.tabIndex = 0;  // the one that Tab leads to
    if (isShown) element.setAttribute("aria-current", "true");
  }
}

function mark(index) {
  if (index < 0) return;
  const { name } = files[index];
  if (!state.marks.delete(name)) state.marks.add(name);
  if (state.only) refresh();
  else { showMarks(); write(); }
}

function showMarks() {
  files.forEach((file, index) => {
    const isMarked = state.marks.has(file.name);
    for (const element of [rows[index], tiles[index]]) element?.classList.toggle("marked", isMarked);
    rows[index].querySelector(".mark").ariaPressed = String(isMarked);
  });
  $("marked-count").textContent = state.marks.size;
  $("copy").disabled = state.marks.size === 0;
  $("export").ariaDisabled = String(state.marks.size === 0);
  $("only").ariaPressed = String(state.only);
}

/** The names of what is marked, one a line, in the order that is shown. */
function markedNames() {
  const shownFirst = [...order, ...files.keys()].map(index => files[index].name);
  return [...new Set(shownFirst)].filter(name => state.marks.has(name)).map(name => `${name}\n`).join("");
}

function move(by) {
  if (!order.length) return;
  const from = order.indexOf(state.at);
  moveTo(order[from < 0 ? (by > 0 ? 0 : order.length - 1) : Math.min(Math.max(0, from + by), order.length - 1)]);
}

function moveTo(index) {
  if (index === undefined || index < 0) return;
  if (select(index) && state.follow) play(index, 0);
}

function moveInSheet(x, y) {
  if (!order.includes(state.at)) move(1);
  else moveTo(beside(state.at, x, y));
}

const chosen = () => order.includes(state.at) ? state.at : -1;
const KEYS = {
  " ": () => toggle(chosen() >= 0 ? chosen() : player.current >= 0 ? player.current : order[0] ?? -1),
  Enter: () => chosen() >= 0 && play(chosen(), 0),
  j: () => move(1), k: () => move(-1),
  ArrowDown: () => state.view === "sheet" ? moveInSheet(0, 1) : move(1),
  ArrowUp: () => state.view === "sheet" ? moveInSheet(0, -1) : move(-1),
  ArrowRight: () => state.view === "sheet" ? moveInSheet(1, 0) : seek(1),
  ArrowLeft: () => state.view === "sheet" ? moveInSheet(-1, 0) : seek(-1),
  Home: () => moveTo(order[0]), End: () => moveTo(order.at(-1)),
  m: () => mark(chosen()),
  "/": () => { $("search").focus(); $("search").select(); },
  "?": () => $("help").showModal(),
  Escape: stop,
};

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const { target } = event, isField = target.matches("input:not([type=checkbox]), select, textarea");
  if (isField) {
    if (event.key === "Escape" || (event.key === "Enter" && target.id === "search")) {
      target.blur();
      moveTo(chosen() >= 0 ? chosen() : order[0]);
      event.preventDefault();
    }
    return;
  }
  if ((event.key === " " || event.key === "Enter") && target.closest("button, a, summary, input")) return;
  const action = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : undefined;
  if (!action) return;
  event.preventDefault();
  action();
});
