/* Tables sorted by pressing a heading; every tbody keeps its place and its group line. */
function sortKey(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.sort ?? cell.textContent.trim();
  if (text === "") return null;
  return Number.isNaN(Number(text)) ? text.toLowerCase() : Number(text);
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

function sortBody(body, column, direction) {
  const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
  const keyed = rows.map((row) => [sortKey(row, column), row]);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return direction * compare(a, b);
  });
  body.append(...keyed.map(([, row]) => row));
}

function sortTable(table, heading) {
  const numbers = heading.classList.contains("num") || heading.textContent.includes("base");
  const before = heading.getAttribute("aria-sort");
  const rising = before ? before === "descending" : !numbers;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
  for (const body of table.tBodies) sortBody(body, heading.cellIndex, rising ? 1 : -1);
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const button of table.tHead.querySelectorAll("button")) {
    button.addEventListener("click", () => sortTable(table, button.closest("th")));
  }
}
