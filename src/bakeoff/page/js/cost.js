/* Accuracy against time, and the front of variants that no other beats on both. */
function front(points) {
  let best = -Infinity;
  return [...points]
    .sort((a, b) => a.seconds - b.seconds || b.test - a.test)
    .filter((one) => one.test > best && ((best = one.test), true));
}

function timeUnit(longest) {
  return [["seconds", 1], ["minutes", 60], ["hours", 3600]].find(([, size]) => longest / size < 100) ?? ["hours", 3600];
}

/* Which points get their name written, towards the middle: leaders first, none over another point. */
function named(points, x, y) {
  const best = leaders();
  const rank = (one) => (best.has(variants.indexOf(one)) ? 0 : one.base ? 1 : 2);
  const low = Math.min(...points.map(x));
  const wide = Math.max(...points.map(x)) - low || 1;
  const high = Math.max(...points.map(y)) - Math.min(...points.map(y)) || 1;
  const room = find("#cost-plot").clientWidth;
  const sideOf = (one) => ((x(one) - low) / wide > 0.5 ? -1 : 1);
  const kept = new Map();
  for (const one of [...points].sort((a, b) => rank(a) - rank(b) || b.test - a.test)) {
    const reach = (7.5 * one.name.length + 12) / room;
    const near = (other) => Math.abs(y(one) - y(other)) / high < 0.06;
    const under = (other) => {
      const away = (sideOf(one) * (x(other) - x(one))) / wide;
      return other !== one && near(other) && away > 0 && away < (kept.has(other) ? 2 : 1) * reach;
    };
    if (!points.some((other) => under(other) && (kept.has(other) || rank(one)))) kept.set(one, sideOf(one));
  }
  return kept;
}

function drawCost() {
  const points = variants.filter((one) => one.test !== null && one.seconds);
  if (!points.length) return;
  const times = points.map((one) => one.seconds);
  const [unit, size] = timeUnit(Math.max(...times));
  const edge = front(points);
  const x = (one) => one.seconds / size;
  const y = (one) => 100 * one.test;
  const wide = Math.max(...times) / Math.min(...times) > 8;
  const labelled = named(points, wide ? (one) => Math.log(x(one)) : x, y);
  const line = {
    x: edge.map(x), y: edge.map(y), mode: "lines", hoverinfo: "skip",
    line: { color: tint("--muted"), width: 1, dash: "dot", shape: "hv" },
  };
  const dots = points.map((one) => ({
    x: [x(one)], y: [y(one)], mode: labelled.has(one) ? "markers+text" : "markers",
    text: [` ${one.name} `], textposition: labelled.get(one) < 0 ? "bottom left" : "bottom right", textfont: { color: tint("--ink"), size: 11 }, cliponaxis: false,
    marker: { color: one.colour, symbol: one.marker, size: 10 },
    error_y: { type: "data", array: [100 * (one.spread ?? 0)], color: one.colour, thickness: 1.2, width: 0 },
    hovertemplate: `<b>${one.name}</b><br>%{y:.1f} % test, %{x:.2f} ${unit} a run<br>` +
      `${one.words || "base"}, ${counted(one.n, "run")}<extra></extra>`,
  }));
  drawPlot("cost-plot", [line, ...dots], {
    xaxis: { title: { text: `${unit} a run` }, ...(wide ? { type: "log" } : {}) },
    yaxis: { title: { text: "test accuracy, %" } },
    margin: { l: 52, r: 24, t: 28, b: 44 },
  });
}

if (find("#cost-plot")) {
  drawings.push(drawCost);
  drawCost();
}
