// What the page knows: files, columns, and how values are compared and shown.

const data = JSON.parse(document.getElementById("data").textContent);
const { files, columns } = data;
const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
const $ = id => document.getElementById(id);

/** An element with attributes, properties and children; text is text, never markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A value with the unit of its column; a dash where there is none. Figures are rounded, settings are as they were. */
function shown(value, column, unit = column.unit) {
  if (value === null) return "–";
  if (typeof value !== "number") return value;
  const digits = column.figure && !Number.isInteger(value) ? value.toPrecision(Math.abs(value) < 10 ? 3 : 4) : value;
  return `${Number(digits)} ${unit}`.trim();
}

/** A value where its unit stands beside it. */
const bare = (value, column) => shown(value, columns[column], "");

/** Seconds as a player shows them: 1:05.3 */
function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(1).padStart(4, "0")}`;
}

/** Numbers before texts before nothing. */
function rank(value) {
  return value === null ? 2 : typeof value === "number" ? 0 : 1;
}

function compare(a, b) {
  return rank(a) - rank(b) || (typeof a === "number" ? a - b : a === null ? 0 : collator.compare(a, b));
}

/** The different values of a column, in order. */
const distinct = columns.map((_, index) => [...new Set(files.map(file => file.values[index]))].sort(compare));
const isNumeric = columns.map((_, index) => distinct[index].every(value => typeof value !== "string"));

/** What a value is called in the address and in controls. */
const key = value => value === null ? "" : String(value);

const settings = columns.map((_, index) => index).filter(index => !columns[index].figure);
const figures = columns.map((_, index) => index).filter(index => columns[index].figure);

/** The values of a file in some columns as a list of terms. */
function facts(index, some) {
  const list = make("dl", { className: "facts" });
  for (const column of some) {
    const value = files[index].values[column];
    if (value === null) continue;
    list.append(make("div", {}, make("dt", {}, columns[column].name), make("dd", {}, shown(value, columns[column]))));
  }
  return list;
}
