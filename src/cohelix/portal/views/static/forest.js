// The cursor of a forest plot: arrow keys go from line to line, and each is said in words; the drawing itself is the server's.

const figure = document.querySelector(".forest"), lines = figure ? [...figure.querySelectorAll("[data-told]")] : [];
let at = -1;

figure?.addEventListener("keydown", (event) => {
  const to = { ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at < 0 ? -1 : at - 1, ArrowLeft: at < 0 ? -1 : at - 1, Home: 0, End: -1 }[event.key];
  if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  lines[at]?.removeAttribute("data-here");
  at = (to + lines.length) % lines.length;
  lines[at].setAttribute("data-here", "");
  figure.querySelector("[role=status]").textContent = `${at + 1} / ${lines.length}: ${lines[at].dataset.told}`;
});
