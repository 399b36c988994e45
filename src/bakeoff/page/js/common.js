"use strict";
/* What every script of the page uses: the data, making elements, saying numbers. */
const data = JSON.parse(document.getElementById("data").textContent);
const variants = data.variants;
const find = (selector) => document.querySelector(selector);

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (key.startsWith("--")) element.style.setProperty(key, value);
    else if (value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

const percent = (share, digits = 1) => (100 * share).toFixed(digits);
const counted = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;
const triples = (flat, size) =>
  Array.from({ length: flat.length / size }, (_, place) => flat.slice(size * place, size * (place + 1)));

/* The leader of each table is chosen on validation, as in the table of variants. */
function leaders() {
  const best = new Map();
  variants.forEach((variant, index) => {
    const before = best.get(variant.table);
    if (!variant.n && !variant.curves.validation_accuracy) return;
    const score = (one) => (one.n ? 1 : 0) + (one.validation ?? 0);
    if (before === undefined || score(variant) > score(variants[before])) best.set(variant.table, index);
  });
  return new Set(best.values());
}
