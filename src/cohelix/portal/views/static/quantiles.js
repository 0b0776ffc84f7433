// Observed against expected −log₁₀ p, of all tests and of each stratum of minor allele frequency; strata differ in shape and
// colour. Arrow keys go along a stratum and from one to the next. The table below the plot has λ of each.

import { MARGIN, axis, keepDrawn, number, paper, stepOf } from "./canvas.js";

const figure = document.querySelector(".quantile-plot");
if (figure) document.addEventListener("cohelix-drawing", (event) => begin(figure, event.detail), { once: true });

function begin(figure, found) {
  const name = (one) => (one.high >= 0.5 ? `MAF ≥ ${number(100 * one.low)} %` : `MAF ${number(100 * one.low)}–${number(100 * one.high)} %`);
  const strata = (found.strata || []).map((one, at) => ({ name: name(one), points: one.quantiles, mark: at }));
  const series = [{ name: figure.dataset.all, points: found.quantiles, mark: -1 }, ...strata].filter((one) => one.points.length);
  if (!series.length) return;
  const view = { figure, canvas: figure.querySelector("canvas"), series, which: 0, at: -1 };
  keepDrawn(view.canvas, () => draw(view));
  figure.addEventListener("keydown", (event) => {
    const by = { ArrowRight: [-1, 0], ArrowLeft: [1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1], Home: [Infinity, 0], End: [-Infinity, 0] }[event.key];
    if (!by || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    view.which = (view.which + by[1] + series.length) % series.length;
    const { name: told, points } = series[view.which]; // strongest first, as the server tells them
    view.at = view.at < 0 ? (by[0] > 0 ? points.length - 1 : 0) : Math.min(points.length - 1, Math.max(0, view.at + by[0]));
    const [expected, observed] = points[view.at], words = figure.dataset.point;
    figure.querySelector("[role=status]").textContent = words.replace("NAME", told).replace("EXPECTED", number(expected)).replace("OBSERVED", number(observed));
    draw(view);
  });
}

function draw(view) {
  const { pen, width, height, colour } = paper(view.canvas);
  if (width < MARGIN.left + MARGIN.right + 10) return;
  const reach = (at) => view.series.reduce((most, one) => one.points.reduce((so, point) => Math.max(so, point[at]), most), 1);
  const wide = reach(0), most = reach(1);
  const x = (value) => MARGIN.left + ((width - MARGIN.left - MARGIN.right) * value) / (wide * 1.03);
  const y = (value) => MARGIN.top + (height - MARGIN.top - MARGIN.bottom) * (1 - value / (most * 1.05));
  axis(pen, { colour, width, y, top: most * 1.05, step: stepOf(most) });
  pen.textAlign = "center";
  pen.textBaseline = "alphabetic";
  for (let value = 0; value <= wide; value += stepOf(wide)) pen.fillText(String(value), x(value), height - 8);
  pen.strokeStyle = colour("ink-quiet");
  pen.beginPath();
  pen.moveTo(x(0), y(0));
  pen.lineTo(x(Math.min(wide, most)), y(Math.min(wide, most)));
  pen.stroke();
  for (const { points, mark } of view.series) {
    pen.fillStyle = mark < 0 ? colour("ink-quiet") : colour(`stratum-${mark}`);
    for (const [expected, observed] of points) shape(pen, mark, x(expected), y(observed), mark < 0 ? 1.5 : 2.6);
  }
  if (view.at < 0) return;
  const [expected, observed] = view.series[view.which].points[view.at];
  pen.strokeStyle = colour("ink");
  pen.lineWidth = 2;
  pen.beginPath();
  pen.arc(x(expected), y(observed), 7, 0, 7);
  pen.stroke();
  pen.lineWidth = 1;
}

// A circle, and for the strata a square, a triangle, a diamond and a circle.
function shape(pen, mark, x, y, size) {
  pen.beginPath();
  if (mark === 0) pen.rect(x - size, y - size, 2 * size, 2 * size);
  else if (mark === 1) { pen.moveTo(x, y - 1.3 * size); pen.lineTo(x + 1.2 * size, y + size); pen.lineTo(x - 1.2 * size, y + size); }
  else if (mark === 2) { pen.moveTo(x, y - 1.4 * size); pen.lineTo(x + 1.4 * size, y); pen.lineTo(x, y + 1.4 * size); pen.lineTo(x - 1.4 * size, y); }
  else pen.arc(x, y, size, 0, 7);
  pen.fill();
}
