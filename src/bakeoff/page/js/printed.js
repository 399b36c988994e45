/* The curves that the report prints, one variant a pair, in its layout. */
const printed = [...document.querySelectorAll(".printed-curves")].map((figure) => ({
  figure,
  index: variants.findIndex(
    (one) => one.table === figure.dataset.table && one.variant === figure.dataset.variant,
  ),
}));

function drawPrinted() {
  for (const { figure, index } of printed) {
    for (const place of figure.querySelectorAll(".plot")) {
      const traces = tracesOf([index], place.id.split("-").at(-1), ["train", "validation"], true);
      drawPlot(place.id, traces, { xaxis: { range: epochRange(traces) }, margin: { l: 44, r: 12, t: 8, b: 26 } });
    }
  }
  find("#printed-said").replaceChildren(make("ul", {}, ...printed.map(({ index }) => sayCurve(index))));
}

if (printed.length) {
  drawings.push(drawPrinted);
  drawPrinted();
}
