/* Plotly in the page's own colours and type; drawn again when the theme changes. */
const drawings = [];

function tint(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function layoutOf(more) {
  const axis = { gridcolor: tint("--line"), zeroline: false, linecolor: tint("--line"), automargin: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: tint("--sans"), size: 12, color: tint("--muted") },
    margin: { l: 44, r: 12, t: 12, b: 40 },
    showlegend: false,
    hovermode: "closest",
    hoverlabel: { bgcolor: tint("--paper"), bordercolor: tint("--line"), font: { color: tint("--ink") } },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    ...more,
    xaxis: { ...axis, ...more.xaxis },
    yaxis: { ...axis, ...more.yaxis },
  };
}

const plotting = { displaylogo: false, responsive: true, displayModeBar: false, showTips: false };

function drawPlot(id, traces, layout) {
  const place = document.getElementById(id);
  if (place && window.Plotly) Plotly.react(place, traces, layoutOf(layout), plotting);
}

function redraw() {
  for (const draw of drawings) draw();
}

function faded(colour, alpha) {
  const parts = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
  return `rgba(${parts.join(",")},${alpha})`;
}
