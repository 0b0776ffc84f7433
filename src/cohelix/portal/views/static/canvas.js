// What the plots share: a sheet of paper in the page's colours, an axis, steps between its numbers, and numbers as words.

export const MARGIN = { left: 46, right: 10, top: 14, bottom: 26 };

export function paper(canvas) {
  const ratio = devicePixelRatio || 1, { width, height } = canvas.getBoundingClientRect();
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  pen.font = `12px ${style.fontFamily}`;
  return { pen, width, height, colour };
}

export function axis(pen, { colour, width, y, top, step }) {
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (let value = 0; value <= top; value += step) {
    pen.strokeStyle = colour("line");
    line(pen, MARGIN.left, y(value), width - MARGIN.right, y(value));
    pen.fillStyle = colour("ink-quiet");
    pen.fillText(String(value), MARGIN.left - 8, y(value));
  }
}

export function stepOf(range, parts = 6) {
  const rough = range / parts, power = 10 ** Math.floor(Math.log10(rough || 1));
  return [1, 2, 5, 10].map((times) => times * power).find((step) => step >= rough) || 1;
}

export function line(pen, x1, y1, x2, y2) {
  pen.beginPath();
  pen.moveTo(x1, Math.round(y1) + 0.5);
  pen.lineTo(x2, Math.round(y2) + 0.5);
  pen.stroke();
}

export function number(value, digits = 4) {
  return value.toLocaleString(document.documentElement.lang, { maximumSignificantDigits: digits });
}

// Draws again when the paper's size or the scheme changes.
export function keepDrawn(canvas, draw) {
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
