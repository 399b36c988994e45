/* The confusion matrix of a chosen variant, as a grid that keys and pointers can walk. */
const MOST_WRITTEN = 30;
const MOST_DRAWN = 130;
const matrix = { index: -1, counts: new Map(), tested: null };
const cellKey = (truth, said) => truth * data.classes.length + said;
const countOf = (truth, said) => matrix.counts.get(cellKey(truth, said)) ?? 0;

function loadMatrix(index) {
  matrix.index = index;
  matrix.tested = variants[index].tested;
  matrix.counts = new Map(triples(matrix.tested.cells, 3).map(([i, j, count]) => [cellKey(i, j), count]));
}

function matrixCell(truth, said) {
  const share = countOf(truth, said) / Math.max(1, matrix.tested.support[truth]);
  const right = truth === said;
  const text = data.classes.length <= MOST_WRITTEN && share >= 0.005 ? percent(share, 0) : "";
  return make("td", {
    role: "gridcell", tabindex: truth + said ? -1 : 0, "data-truth": truth, "data-said": said, "--a": share ** 0.7,
    class: [right && "right", share > 0.5 && "strong"].filter(Boolean).join(" ") || null,
    "aria-label": `${data.classes[truth]} taken for ${data.classes[said]}: ${percent(share)} %`,
  }, text);
}

function drawMatrix() {
  const names = data.classes;
  const grid = find("#matrix");
  const variant = variants[matrix.index];
  const total = matrix.tested.support.reduce((a, b) => a + b, 0);
  const right = names.reduce((sum, _, place) => sum + countOf(place, place), 0);
  find("#matrix-said").textContent = `${counted(right, "prediction")} of ${total.toLocaleString("en")} right ` +
    `(${percent(right / total)} %), ${counted(matrix.tested.runs, "run")} of ${variant.name}.`;
  grid.replaceChildren();
  grid.classList.toggle("dense", names.length > MOST_WRITTEN);
  if (names.length > MOST_DRAWN) {
    find("#matrix-hint").textContent = `${names.length} classes are too many for a matrix; see the confusions below.`;
    return;
  }
  const heads = names.map((name) => make("th", { scope: "col" }, make("span", {}, name)));
  grid.append(make("thead", {}, make("tr", {}, make("td", { "aria-hidden": "true", class: "corner" }), ...heads)));
  grid.append(make("tbody", {}, ...names.map((name, truth) =>
    make("tr", {}, make("th", { scope: "row", title: name }, name), ...names.map((_, said) => matrixCell(truth, said))))));
}

function cellAt(truth, said) {
  return find(`#matrix td[data-truth="${truth}"][data-said="${said}"]`);
}

function chooseCell(truth, said) {
  for (const old of document.querySelectorAll('#matrix [aria-selected="true"]')) old.removeAttribute("aria-selected");
  const cell = cellAt(truth, said);
  if (cell) cell.setAttribute("aria-selected", "true");
  tellCell(truth, said);
}

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function moveInMatrix(event) {
  const cell = event.target.closest("td[data-truth]");
  if (!cell) return;
  const [truth, said] = [Number(cell.dataset.truth), Number(cell.dataset.said)];
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    chooseCell(truth, said);
  } else if (MOVES[event.key]) {
    event.preventDefault();
    const next = cellAt(truth + MOVES[event.key][0], said + MOVES[event.key][1]);
    if (next) {
      cell.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    }
  }
}

function chooseVariant(index) {
  loadMatrix(index);
  drawMatrix();
  tellClasses();
  tellPairs();
  tellGallery(24);
  find("#cell").replaceChildren(make("p", { class: "muted" }, "No cell chosen."));
}

if (find("#matrix-variant")) {
  const ready = variants.map((_, index) => index).filter((index) => variants[index].tested);
  const best = leaders();
  const select = find("#matrix-variant");
  for (const index of ready) select.append(make("option", { value: index }, variants[index].name));
  select.addEventListener("change", () => chooseVariant(Number(select.value)));
  find("#matrix").addEventListener("click", (event) => {
    const cell = event.target.closest("td[data-truth]");
    if (cell) chooseCell(Number(cell.dataset.truth), Number(cell.dataset.said));
  });
  find("#matrix").addEventListener("keydown", moveInMatrix);
  addEventListener("DOMContentLoaded", () => {
    const first = ready.filter((index) => best.has(index))
      .sort((a, b) => variants[b].validation - variants[a].validation)[0] ?? ready[0];
    if (first === undefined) return;
    select.value = first;
    chooseVariant(first);
  });
}
