// The controls above the files, and the first look at what the address says.

/** Show what the state says. */
function refresh() {
  order = sorted();
  $("list").hidden = state.view !== "list";
  $("sheet").hidden = state.view !== "sheet";
  $("axes").hidden = state.view !== "sheet";
  if (state.view === "list") showList();
  showSheet();
  $("nothing").hidden = order.length > 0;
  $("count").textContent = order.length === files.length ? `${files.length} files` : `${order.length} of ${files.length} files`;
  $("view-list").ariaPressed = String(state.view === "list");
  $("view-sheet").ariaPressed = String(state.view === "sheet");
  $("down").ariaPressed = String(state.down);
  $("down").textContent = state.down ? "↓" : "↑";
  showMarks();
  showSelection();
  showPlayer();
  write();
}

/** Have the controls show the state. */
function showControls() {
  $("search").value = state.query;
  $("sort").value = state.sort;
  $("advance").checked = state.advance;
  $("follow").checked = state.follow;
  $("axis-rows").value = state.rows;
  $("axis-columns").value = state.across;
  showFields();
}

function options(indices) {
  return indices.map(index => make("option", { value: index }, columns[index].name));
}

function showSummary() {
  const seconds = files.reduce((sum, file) => sum + (file.seconds ?? 0), 0), damaged = files.filter(f => f.problem).length;
  const minutes = seconds >= 90 ? `${Math.round(seconds / 60)} minutes` : `${seconds.toFixed(1)} s`;
  const varying = settings.map(index => columns[index].name).join(", ");
  $("summary").textContent = `${files.length} ${files.length === 1 ? "file" : "files"}, ${minutes}` +
    (varying ? `. They differ in ${varying}.` : ".") + (damaged ? ` ${damaged} cannot be read.` : "");
  $("common").querySelector("dl").append(...data.common.map(column =>
    make("div", {}, make("dt", {}, column.name), make("dd", {}, shown(column.value, column)))));
  $("common").hidden = !data.common.length;
}

function setAxis(axis, other, value) {
  if (state[other] === value) state[other] = state[axis];
  state[axis] = value;
  $("axis-rows").value = state.rows;
  $("axis-columns").value = state.across;
  refresh();
}

$("sort").append(make("option", { value: "name" }, "name"));
for (const [label, some] of [["settings", settings], ["figures", figures]]) {
  if (some.length) $("sort").append(make("optgroup", { label }, ...options(some)));
}
$("axis-rows").append(...options(axes));
$("axis-columns").append(...options(axes));
$("view-sheet").disabled = axes.length < 2;
if (axes.length < 2) $("view-sheet").title = "For files that differ in two settings";
if (matchMedia("(max-width: 60rem)").matches) $("filters").open = false;

$("search").addEventListener("input", event => { state.query = event.target.value; refresh(); });
$("sort").addEventListener("change", ({ target }) => {
  state.sort = target.value === "name" ? "name" : Number(target.value);
  refresh();
});
$("down").addEventListener("click", () => { state.down = !state.down; refresh(); });
for (const view of ["list", "sheet"]) {
  $(`view-${view}`).addEventListener("click", () => { state.view = view; refresh(); });
}
$("axis-rows").addEventListener("change", ({ target }) => setAxis("rows", "across", Number(target.value)));
$("axis-columns").addEventListener("change", ({ target }) => setAxis("across", "rows", Number(target.value)));
for (const name of ["advance", "follow"]) {
  $(name).addEventListener("change", event => { state[name] = event.target.checked; write(); });
}
$("only").addEventListener("click", () => { state.only = !state.only; refresh(); });
$("reset").addEventListener("click", showAll);
$("nothing-reset").addEventListener("click", showAll);
$("help-open").addEventListener("click", () => $("help").showModal());
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(markedNames());
    say(`${state.marks.size} names are copied.`);
  } catch {
    say("This browser does not let the page copy. Save them as text.");
  }
});
$("export").addEventListener("click", ({ currentTarget }) => {
  if (currentTarget.href) URL.revokeObjectURL(currentTarget.href);
  currentTarget.href = URL.createObjectURL(new Blob([markedNames()], { type: "text/plain" }));
});
addEventListener("hashchange", () => { read(); showControls(); refresh(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
new ResizeObserver(redraw).observe(document.querySelector("main"));

showSummary();
read();
showControls();
refresh();
if (state.at >= 0) select(state.at);
