// What is shown and how, kept in the address, so that a reload or a link shows the same.

const MOST_ON_AXIS = 60;
const axes = axisChoices();
const state = {
  view: "list", sort: "name", down: false, query: "", only: false, advance: false, follow: false,
  filters: new Map(), marks: new Set(), rows: axes[0], across: axes[1], at: -1,
};
const MS_BETWEEN = 400, written = { timer: 0, isStale: false };
const SWITCHES = { down: "down", only: "only", advance: "on", follow: "follow" };

/** The columns that can be an axis of the contact sheet, the likeliest first: settings of a sweep, then the seed. */
function axisChoices() {
  const able = settings.filter(index => distinct[index].length >= 2 && distinct[index].length <= MOST_ON_AXIS);
  const isSeed = index => columns[index].name === "seed";
  return [...able.filter(index => !isSeed(index)), ...able.filter(isSeed)];
}

const named = name => columns.findIndex(column => column.name === name);

/** Put the state into the address, at most so often: browsers refuse more. */
function write() {
  if (written.timer) {
    written.isStale = true;
    return;
  }
  history.replaceState(null, "", `#${address()}`);
  written.isStale = false;
  written.timer = setTimeout(() => {
    written.timer = 0;
    if (written.isStale) write();
  }, MS_BETWEEN);
}

function address() {
  const said = new URLSearchParams();
  if (state.view !== "list") said.set("view", state.view);
  if (state.sort !== "name") said.set("sort", `.${columns[state.sort].name}`);
  for (const [name, word] of Object.entries(SWITCHES)) if (state[name]) said.set(word, "");
  if (state.query) said.set("search", state.query);
  if (state.view === "sheet" && axes.length > 1) {
    said.set("rows", columns[state.rows].name);
    said.set("columns", columns[state.across].name);
  }
  for (const [index, filter] of state.filters) {
    const { name } = columns[index];
    if (filter.is) for (const one of filter.is) said.append(`is.${name}`, one);
    if (filter.has) said.set(`has.${name}`, filter.has);
    if (filter.low !== undefined) said.set(`from.${name}`, filter.low);
    if (filter.high !== undefined) said.set(`to.${name}`, filter.high);
  }
  for (const name of state.marks) said.append("mark", name);
  if (state.at >= 0) said.set("at", files[state.at].name);
  return said.toString();
}

/** Take over what the address says; what it says wrong is left out. */
function read() {
  const said = new URLSearchParams(location.hash.slice(1));
  state.view = said.get("view") === "sheet" && axes.length > 1 ? "sheet" : "list";
  const sort = said.get("sort") ?? "";
  state.sort = sort.startsWith(".") && named(sort.slice(1)) >= 0 ? named(sort.slice(1)) : "name";
  for (const [name, word] of Object.entries(SWITCHES)) state[name] = said.has(word);
  state.query = said.get("search") ?? "";
  const [rows, across] = ["rows", "columns"].map(axis => named(said.get(axis)));
  [state.rows, state.across] = axes;
  if (rows !== across && axes.includes(rows) && axes.includes(across)) [state.rows, state.across] = [rows, across];
  state.filters.clear();
  for (const [word, value] of said) {
    const [, what, name] = /^(is|has|from|to)\.(.*)$/s.exec(word) ?? [];
    const index = name === undefined ? -1 : named(name);
    if (index < 0) continue;
    const filter = state.filters.get(index) ?? {};
    if (what === "is") filter.is = (filter.is ?? new Set()).add(value);
    else if (what === "has") filter.has = value;
    else if (value !== "" && Number.isFinite(Number(value))) filter[what === "from" ? "low" : "high"] = Number(value);
    state.filters.set(index, filter);
  }
  const names = new Set(files.map(file => file.name));
  state.marks = new Set(said.getAll("mark").filter(name => names.has(name)));
  state.at = files.findIndex(file => file.name === said.get("at"));
}
