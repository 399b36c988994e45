/* What stands around the matrix: a cell's photographs, classes, confusions, surest mistakes. */
const MOST_LISTED = 60;

function mistakesOf() {
  return triples(matrix.tested.mistakes, 4).map(([image, said, runs, sure]) => ({ image, said, runs, sure }));
}

function picture(image) {
  const address = data.thumbnails[image];
  const name = data.images[image];
  const file = make("span", { class: "file" }, name);
  return address ? [make("img", { src: address, alt: name, loading: "lazy", title: name })] : [file];
}

function inRuns(one) {
  return `in ${one.runs} of ${counted(matrix.tested.runs, "run")}, ${one.sure} % sure`;
}

function rightOnes(truth) {
  const wrong = new Map();
  for (const one of mistakesOf()) wrong.set(one.image, (wrong.get(one.image) ?? 0) + one.runs);
  return data.labels
    .map((label, image) => ({ image, label, runs: matrix.tested.runs - (wrong.get(image) ?? 0) }))
    .filter((one) => one.label === truth && one.runs > 0)
    .sort((a, b) => a.runs - b.runs);
}

function photographsOf(truth, said) {
  if (truth !== said) {
    const found = mistakesOf().filter((one) => one.said === said && data.labels[one.image] === truth);
    return found.map((one) => [one.image, inRuns(one)]);
  }
  if (!matrix.tested.whole) return [];
  return rightOnes(truth).map((one) => [one.image, `right in ${one.runs} of ${counted(matrix.tested.runs, "run")}`]);
}

function tellCell(truth, said) {
  const count = countOf(truth, said);
  const support = matrix.tested.support[truth];
  const names = data.classes;
  const title = truth === said ? `${names[truth]}, recognised` : `${names[truth]} taken for ${names[said]}`;
  const photographs = photographsOf(truth, said);
  const items = photographs.slice(0, MOST_LISTED).map(([image, words]) =>
    make("li", {}, ...picture(image), make("small", {}, words)));
  const pictures = photographs.some(([image]) => data.thumbnails[image]);
  const left = photographs.length - items.length;
  find("#cell").replaceChildren(
    make("h3", {}, title),
    make("p", { class: "muted" }, `${count.toLocaleString("en")} of ${counted(support, "prediction")} ` +
      `(${percent(count / Math.max(1, support))} %), ${counted(photographs.length, "photograph")}.`),
    make("ul", { class: pictures ? "images pictures" : "images" }, ...items),
    left > 0 ? make("p", { class: "muted" }, `and ${left.toLocaleString("en")} more`) : "",
  );
}

function tellClasses() {
  const { support, said, runs } = matrix.tested;
  const share = (part, whole) => (whole ? part / whole : 0);
  const rows = data.classes.map((name, place) => {
    const right = countOf(place, place);
    const scores = [share(right, said[place]), share(right, support[place]),
      share(2 * right, support[place] + said[place])];
    return make("tr", {}, make("th", { scope: "row", class: "names" }, name),
      ...scores.map((score) => make("td", { class: "num", "data-sort": score }, percent(score))),
      make("td", { class: "num" }, String(Math.round(support[place] / runs))));
  });
  const table = find("#classes-table");
  table.tBodies[0].replaceChildren(...rows);
  const sorted = table.querySelector("[aria-sort]");
  if (sorted) sortBody(table.tBodies[0], sorted.cellIndex, sorted.ariaSort === "ascending" ? 1 : -1);
}

function tellPairs() {
  const pairs = triples(matrix.tested.cells, 3).filter(([i, j]) => i !== j).sort((a, b) => b[2] - a[2]).slice(0, 12);
  const most = pairs.length ? pairs[0][2] : 1;
  find("#pairs").replaceChildren(...pairs.map(([truth, said, count]) => {
    const bar = make("i");
    bar.style.width = `${(100 * count) / most}%`;
    const share = percent(count / matrix.tested.support[truth]);
    return make("li", {}, make("button", { type: "button", on: { click: () => chooseCell(truth, said) } },
      make("span", { class: "names" }, `${data.classes[truth]} → ${data.classes[said]}`),
      make("span", {}, `${count.toLocaleString("en")} (${share} %)`), bar));
  }));
}

function galleryItem(one) {
  return make("li", {}, ...picture(one.image),
    make("b", { class: "names" }, data.classes[one.said]), ` instead of ${data.classes[data.labels[one.image]]}`,
    make("small", {}, inRuns(one)));
}

function tellGallery(most) {
  const found = mistakesOf();
  const gallery = find("#gallery");
  const first = found.slice(0, most);
  gallery.classList.toggle("bare", !first.some((one) => data.thumbnails[one.image]));
  gallery.replaceChildren(...first.map(galleryItem));
  find("#gallery-said").textContent = found.length
    ? `Wrong in the most runs with the highest confidence: ${first.length} of ${found.length.toLocaleString("en")}.`
    : "No mistake on the test photographs.";
  find("#gallery-more").hidden = first.length === found.length;
  find("#gallery-more").onclick = () => tellGallery(most + 48);
}
