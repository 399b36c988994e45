/* Light, dark or as the system has it; printing is always light. */
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
const themeNow = () => root.dataset.theme ?? (dark.matches ? "dark" : "light");

function setTheme(name) {
  root.dataset.theme = name;
  nameTheme();
  redraw();
}

function nameTheme() {
  find("#theme").textContent = themeNow() === "dark" ? "Light" : "Dark";
  find("#theme").setAttribute("aria-label", `Switch to ${themeNow() === "dark" ? "light" : "dark"} colours`);
}

find("#theme").hidden = false;
find("#theme").addEventListener("click", () => setTheme(themeNow() === "dark" ? "light" : "dark"));
dark.addEventListener("change", () => { nameTheme(); redraw(); });
let beforePrint;
addEventListener("beforeprint", () => { beforePrint = root.dataset.theme; setTheme("light"); });
addEventListener("afterprint", () => {
  if (beforePrint) setTheme(beforePrint);
  else { delete root.dataset.theme; nameTheme(); redraw(); }
});
nameTheme();
