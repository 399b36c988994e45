/* Learning curves: chips switch variants, boxes switch lines; loss beside accuracy. */
const DASHES = { validation: "solid", clean: "dash", train: "dot" };
const LINES = { validation: "validation", clean: "train, clean", train: "train, as trained on" };
const shown = new Set();

function withCurves() {
  return variants.map((_, index) => index).filter((index) => Object.keys(variants[index].curves).length);
}

function bandTrace(variant, curve, factor) {
  const places = curve[0].map((_, place) => place).filter((place) => curve[2][place] !== null);
  const at = (sign) => (place) => factor * (curve[1][place] + sign * curve[2][place]);
  const back = [...places].reverse();
  return {
    x: [...places, ...back].map((place) => curve[0][place]),
    y: [...places.map(at(1)), ...back.map(at(-1))],
    fill: "toself",
    fillcolor: faded(variant.colour, 0.14),
    line: { width: 0 },
    mode: "lines",
    hoverinfo: "skip",
  };
}

function lineTrace(variant, curve, factor, series) {
  const said = curve[0].map((_, place) => {
    const spread = curve[2][place] === null ? "" : ` ± ${(factor * curve[2][place]).toFixed(factor > 1 ? 1 : 3)}`;
    return `${spread}, ${counted(curve[3][place], "run")}`;
  });
  const number = factor > 1 ? "%{y:.1f}" : "%{y:.3f}";
  return {
    x: curve[0],
    y: curve[1].map((value) => (value === null ? null : factor * value)),
    customdata: said,
    name: `${variant.name} ${series}`,
    mode: curve[0].length > 1 ? "lines" : "markers",
    line: { color: variant.colour, dash: DASHES[series], width: series === "validation" ? 2.2 : 1.5 },
    marker: { color: variant.colour, symbol: variant.marker, size: 8 },
    hovertemplate: `<b>${variant.name}</b> ${LINES[series]}<br>epoch %{x}: ${number}%{customdata}<extra></extra>`,
  };
}

function tracesOf(indices, measure, series, band) {
  const factor = measure === "accuracy" ? 100 : 1;
  const bands = [];
  const lines = [];
  for (const index of indices) {
    for (const one of series) {
      const curve = variants[index].curves[`${one}_${measure}`];
      if (!curve) continue;
      if (band && curve[2].some((spread) => spread)) bands.push(bandTrace(variants[index], curve, factor));
      lines.push(lineTrace(variants[index], curve, factor, one));
    }
  }
  return [...bands, ...lines];
}

/* Names at the lines' ends, pushed apart where they would overlap. */
function endLabels(measure, series, traces, height) {
  const factor = measure === "accuracy" ? 100 : 1;
  const values = traces.flatMap((trace) => trace.y).filter((value) => value !== null);
  const scale = (height - 52) / Math.max(1e-9, Math.max(...values) - Math.min(...values));
  const ends = [...shown].flatMap((index) => {
    const first = series.map((one) => variants[index].curves[`${one}_${measure}`]).find(Boolean);
    if (!first) return [];
    return [{ variant: variants[index], x: first[0].at(-1), y: factor * first[1].at(-1) }];
  });
  ends.sort((a, b) => b.y - a.y);
  let floor = Infinity;
  return ends.map(({ variant, x, y }) => {
    const place = Math.min(y * scale, floor - 13);
    floor = place;
    return {
      x, y, text: variant.name, showarrow: false, xanchor: "left", xshift: 6, yshift: place - y * scale,
      font: { color: variant.colour, size: 11 },
    };
  });
}

function epochRange(traces) {
  const epochs = traces.flatMap((trace) => trace.x);
  const [first, last] = [Math.min(...epochs), Math.max(...epochs)];
  return first < last ? [first, last + 0.02 * (last - first)] : [first - 1, first + 1];
}

function drawCurves() {
  const series = [...document.querySelectorAll("[name=series]:checked")].map((box) => box.value);
  const band = find("[name=band]").checked;
  for (const measure of ["loss", "accuracy"]) {
    const traces = tracesOf(shown, measure, series, band);
    const labelled = shown.size <= 9 && series.length > 0;
    const longest = Math.max(0, ...[...shown].map((index) => variants[index].name.length));
    drawPlot(`${measure}-plot`, traces, {
      xaxis: { title: { text: "epoch" }, range: epochRange(traces) },
      annotations: labelled ? endLabels(measure, series, traces, find(`#${measure}-plot`).clientHeight) : [],
      margin: { l: 44, r: labelled ? 14 + 6.5 * Math.min(longest, 20) : 12, t: 12, b: 40 },
    });
  }
  find("#curves-said").replaceChildren(make("ul", {}, ...[...shown].map(sayCurve)));
}

function sayCurve(index) {
  const variant = variants[index];
  const accuracy = variant.curves.validation_accuracy;
  const loss = variant.curves.validation_loss;
  if (!accuracy) return make("li", {}, `${variant.name}: no validation curve.`);
  const last = accuracy[0].length - 1;
  const top = accuracy[1].indexOf(Math.max(...accuracy[1]));
  const chosen = variant.chosen.length ? ` Chosen epochs: ${variant.chosen.join(", ")}.` : "";
  const lossSaid = loss ? ` Validation loss goes from ${loss[1][0].toFixed(2)} to ${loss[1].at(-1).toFixed(2)}.` : "";
  return make("li", {}, `${variant.name}: validation accuracy goes from ${percent(accuracy[1][0])} % at epoch ` +
    `${accuracy[0][0]} to ${percent(accuracy[1][last])} % at epoch ${accuracy[0][last]}, and is highest, ` +
    `${percent(accuracy[1][top])} %, at epoch ${accuracy[0][top]}.${lossSaid}${chosen}`);
}

function showOnly(indices) {
  shown.clear();
  for (const index of indices) shown.add(index);
  for (const chip of document.querySelectorAll(".chip")) {
    chip.setAttribute("aria-pressed", String(shown.has(Number(chip.dataset.index))));
  }
  drawCurves();
}

function toggleVariant(index) {
  const next = new Set(shown);
  if (!next.delete(index)) next.add(index);
  showOnly([...next].sort((a, b) => a - b));
}

function chipFor(index) {
  const variant = variants[index];
  return make("button", {
    type: "button", class: "chip", "data-index": index, "aria-pressed": "false", title: variant.changes,
    "--own": variant.colour, on: { click: () => toggleVariant(index) },
  }, make("span", { class: "dot" }), variant.variant);
}

function bestAndBase() {
  const best = leaders();
  return withCurves().filter((index) => best.has(index) || variants[index].base);
}

if (find("#chips")) {
  const tables = [...new Set(variants.map((variant) => variant.table))];
  for (const table of tables) {
    const own = withCurves().filter((index) => variants[index].table === table);
    const label = tables.length > 1 ? [make("span", { class: "of" }, table)] : [];
    if (own.length) find("#chips").append(make("div", {}, ...label, ...own.map(chipFor)));
  }
  const choices = { best: bestAndBase, all: withCurves, none: () => [] };
  for (const button of document.querySelectorAll("[data-choose]")) {
    button.addEventListener("click", () => showOnly(choices[button.dataset.choose]()));
  }
  for (const box of document.querySelectorAll("#curve-controls input")) box.addEventListener("change", drawCurves);
  drawings.push(drawCurves);
  showOnly(withCurves().length <= 6 ? withCurves() : bestAndBase());
}
