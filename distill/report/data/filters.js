// Which files are shown, and in which order.

const FEW = 8, SOME = 60;
let order = [];
const texts = files.map(file => [file.name, ...file.values.filter(value => typeof value === "string")]
  .join("\n").toLowerCase());

function passes(index) {
  const file = files[index];
  if (state.only && !state.marks.has(file.name)) return false;
  if (!state.query.toLowerCase().split(/\s+/).every(word => texts[index].includes(word))) return false;
  for (const [column, filter] of state.filters) {
    const value = file.values[column];
    if (filter.is && !filter.is.has(key(value))) return false;
    if (filter.has && !key(value).toLowerCase().includes(filter.has.toLowerCase())) return false;
    if (filter.low !== undefined && !(value !== null && value >= filter.low)) return false;
    if (filter.high !== undefined && !(value !== null && value <= filter.high)) return false;
  }
  return true;
}

/** The files that are shown, in order. What has no value comes last, either way. */
function sorted() {
  const by = state.sort === "name" ? file => file.name : file => file.values[state.sort];
  const direction = state.down ? -1 : 1;
  return files.map((_, index) => index).filter(passes).sort((a, b) => {
    const [one, other] = [by(files[a]), by(files[b])];
    if (one === null || other === null) return (one === null) - (other === null) || a - b;
    return direction * compare(one, other) || a - b;
  });
}

/** Set a part of a column's filter; without parts there is none. */
function setFilter(column, part) {
  const filter = { ...state.filters.get(column), ...part };
  for (const [name, value] of Object.entries(filter)) {
    if (value === undefined || value === "" || value.size === 0) delete filter[name];
  }
  if (Object.keys(filter).length) state.filters.set(column, filter);
  else state.filters.delete(column);
  refresh();
}

/** A control for each column: buttons for a few values, a range for many numbers, a list or a text for the rest. */
function fieldOf(column) {
  const { name, unit } = columns[column], values = distinct[column], filter = state.filters.get(column) ?? {};
  const field = make("fieldset", {}, make("legend", {}, unit ? `${name} (${unit})` : name));
  field.dataset.column = name;
  if (values.length <= FEW) field.append(...values.map(value => choice(column, value, filter)));
  else if (isNumeric[column]) field.append(bound(column, "low", filter), make("span", {}, "to"), bound(column, "high", filter));
  else if (values.length <= SOME) field.append(list(column, filter));
  else field.append(part(column, filter));
  return field;
}

function choice(column, value, filter) {
  const button = make("button", { type: "button", className: "choice" }, bare(value, column));
  button.ariaPressed = String(Boolean(filter.is?.has(key(value))));
  button.addEventListener("click", () => {
    const is = new Set(state.filters.get(column)?.is);
    if (!is.delete(key(value))) is.add(key(value));
    button.ariaPressed = String(is.has(key(value)));
    setFilter(column, { is });
  });
  return button;
}

function bound(column, side, filter) {
  const numbers = distinct[column].filter(value => value !== null);
  const label = `${columns[column].name}, ${side === "low" ? "at least" : "at most"}`;
  const input = make("input", { type: "number", step: "any", value: filter[side] ?? "", "aria-label": label });
  input.placeholder = bare(numbers.at(side === "low" ? 0 : -1), column);
  input.addEventListener("input", () => {
    setFilter(column, { [side]: input.value === "" ? undefined : Number(input.value) });
  });
  return input;
}

function list(column, filter) {
  const select = make("select", { "aria-label": columns[column].name }, make("option", { value: "any" }, "any"));
  distinct[column].forEach((value, index) => {
    select.append(make("option", { value: index, selected: Boolean(filter.is?.has(key(value))) }, bare(value, column)));
  });
  select.addEventListener("change", () => {
    setFilter(column, { is: select.value === "any" ? undefined : new Set([key(distinct[column][select.value])]) });
  });
  return select;
}

function part(column, filter) {
  const input = make("input", { type: "text", value: filter.has ?? "", placeholder: "contains" });
  input.ariaLabel = `${columns[column].name} contains`;
  input.addEventListener("input", () => setFilter(column, { has: input.value }));
  return input;
}

function showFields() {
  $("fields").replaceChildren(...columns.map((_, column) => column).filter(c => distinct[c].length > 1).map(fieldOf));
}

function showAll() {
  state.filters.clear();
  state.query = $("search").value = "";
  state.only = false;
  showFields();
  refresh();
}
