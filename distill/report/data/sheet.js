// The contact sheet: files of a sweep of two settings as a grid; within a cell the files that share both.

const tiles = [];
const NARROWEST = 60, WIDEST = 220, HEIGHT_TO_WIDTH = 0.6;

/** The settings of a file in a line. */
function about(index) {
  const { values } = files[index];
  return settings.filter(column => values[column] !== null)
    .map(column => `${columns[column].name} ${shown(values[column], columns[column])}`).join(", ");
}

function tile(index) {
  const file = files[index];
  const button = make("button", { type: "button", className: "tile", tabIndex: -1 });
  button.title = `${file.name}\n${about(index)}`;
  button.ariaLabel = `${file.name}, ${about(index)}`;
  button.dataset.file = index;
  button.append(file.problem ? make("span", { className: "problem" }, "damaged") : picture(index, ""));
  return button;
}

function showSheet() {
  if (state.view !== "sheet") return $("sheet").replaceChildren();
  const cells = new Map();
  for (const index of order) {
    const { values } = files[index], pair = JSON.stringify([values[state.rows], values[state.across]]);
    cells.set(pair, [...cells.get(pair) ?? [], index]);
  }
  const used = column => distinct[column].filter(value => order.some(index => files[index].values[column] === value));
  const [down, across] = [used(state.rows), used(state.across)];
  const most = Math.max(1, ...[...cells.values()].map(cell => cell.length));
  const beside = Math.ceil(Math.sqrt(most));
  const head = make("tr", {}, make("td", {}, `${columns[state.rows].name} ↓\n${columns[state.across].name} →`));
  head.append(...across.map(value => make("th", { scope: "col" }, shown(value, columns[state.across]))));
  const body = down.map(value => make("tr", {}, make("th", { scope: "row" }, shown(value, columns[state.rows])),
    ...across.map(other => {
      const cell = make("div", { className: "cell" });
      for (const index of cells.get(JSON.stringify([value, other])) ?? []) cell.append(tiles[index] ??= tile(index));
      return make("td", {}, cell);
    })));
  const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
  const room = ($("sheet").clientWidth - 130) / across.length - 20;
  const wide = Math.round(Math.min(WIDEST, Math.max(NARROWEST, room / beside - 4)));
  table.style.setProperty("--across", beside);
  table.style.setProperty("--wide", `${wide}px`);
  table.style.setProperty("--high", `${Math.round(wide * HEIGHT_TO_WIDTH)}px`);
  $("sheet").replaceChildren(table);
}

$("sheet").addEventListener("click", event => {
  const button = event.target.closest(".tile");
  if (!button) return;
  const index = Number(button.dataset.file);
  select(index);
  toggle(index);
});

/** The tile beside the one at `index`, `x` to the right or `y` down; -1 where there is none. */
function beside(index, x, y) {
  const middle = element => {
    const { left, top, width, height } = element.getBoundingClientRect();
    return [left + width / 2, top + height / 2, width, height];
  };
  const [fromX, fromY, width, height] = middle(tiles[index]);
  let best = -1, least = Infinity;
  for (const other of order) {
    const [toX, toY] = middle(tiles[other]);
    const along = x * (toX - fromX) + y * (toY - fromY), aside = Math.abs(x ? toY - fromY : toX - fromX);
    if (along < (x ? width : height) / 2 || (x && aside > height / 2)) continue;
    const far = along + (x ? 0 : 3 * aside);
    if (far < least) [best, least] = [other, far];
  }
  return best;
}
