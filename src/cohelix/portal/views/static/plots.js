// Draws a released table: the Manhattan plot with a cursor that keys and buttons move from peak to peak, and the quantiles.
// Colours are the page's own, so that both schemes are drawn; without JavaScript the page shows the server's pictures.

const GAP = 0.006; // of the genome, between chromosomes
const MARGIN = { left: 46, right: 10, top: 14, bottom: 26 };

for (const figure of document.querySelectorAll("[data-drawing]")) begin(figure);

async function begin(figure) {
  const answer = await fetch(figure.dataset.drawing, { headers: { accept: "application/json" } });
  if (!answer.ok) {
    figure.querySelector("[role=status]").textContent = figure.dataset.failed;
    return;
  }
  const found = await answer.json();
  const genome = laidOut(found.contigs);
  const strongest = Math.max(found.threshold * 1.15, ...found.contigs.flatMap((one) => one.strengths.map((s) => s / 100)), 1);
  const view = { figure, found, genome, top: strongest * 1.05, at: -1 };
  const again = () => { draw(view); drawQuantiles(view); figure.dataset.drawn = "yes"; };
  new ResizeObserver(again).observe(figure.querySelector("canvas"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  walkPeaks(view);
}

// Each contig's place on an axis from 0 to 1, and its strong lines in plain numbers.
function laidOut(contigs) {
  const total = contigs.reduce((sum, one) => sum + Math.max(1, one.last - one.first), 0);
  const room = 1 - GAP * Math.max(0, contigs.length - 1);
  let from = 0;
  return contigs.map((one) => {
    const width = (Math.max(1, one.last - one.first) / total) * room;
    let position = 0;
    const positions = one.positions.map((step) => (position += step));
    const placed = { ...one, from, width, positions, place: (p) => from_(placed, p) };
    from += width + GAP;
    return placed;
  });
}

function from_(contig, position) {
  return contig.from + (contig.width * (position - contig.first)) / Math.max(1, contig.last - contig.first);
}

function paper(canvas) {
  const ratio = devicePixelRatio || 1, { width, height } = canvas.getBoundingClientRect();
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  pen.font = `12px ${style.fontFamily}`;
  return { pen, width, height, colour };
}

function draw(view) {
  const { found, genome, top } = view;
  const { pen, width, height, colour } = paper(view.figure.querySelector("canvas"));
  if (width < MARGIN.left + MARGIN.right + 10) return;
  const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
  const x = (place) => MARGIN.left + place * inner.width;
  const y = (strength) => MARGIN.top + inner.height * (1 - strength / top);
  view.x = x; view.y = y;
  axis(pen, { colour, width, y, top, step: stepOf(top) });

  const tall = Math.max(1.5, inner.height * 0.1 / top + 0.5);
  genome.forEach((contig, number) => {
    pen.fillStyle = colour(number % 2 ? "plot-b" : "plot-a");
    const bits = Uint8Array.from(atob(contig.cells), (letter) => letter.charCodeAt(0));
    const wide = Math.max(1.5, (contig.width * inner.width * found.cellBases) / Math.max(1, contig.last - contig.first) + 0.5);
    for (let at = 0; at < bits.length * 8; at++) {
      if (!(bits[at >> 3] & (128 >> (at & 7)))) continue;
      const base = (contig.column + Math.floor(at / found.cellSteps)) * found.cellBases;
      const left = x(contig.place(Math.max(contig.first, base)));
      pen.fillRect(left, y(((at % found.cellSteps) + 1) / 10), Math.min(wide, x(contig.from + contig.width) - left + 1), tall);
    }
    contig.positions.forEach((position, index) => {
      pen.beginPath();
      pen.arc(x(contig.place(position)), y(contig.strengths[index] / 100), 2, 0, 7);
      pen.fill();
    });
  });

  pen.strokeStyle = colour("warn-line");
  pen.setLineDash([5, 4]);
  line(pen, MARGIN.left, y(found.threshold), width - MARGIN.right, y(found.threshold));
  pen.setLineDash([]);
  names(pen, view, { colour, height, x, inner });
  if (view.at >= 0) mark(pen, view, colour);
}

function axis(pen, { colour, width, y, top, step }) {
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (let value = 0; value <= top; value += step) {
    pen.strokeStyle = colour("line");
    line(pen, MARGIN.left, y(value), width - MARGIN.right, y(value));
    pen.fillStyle = colour("ink-quiet");
    pen.fillText(String(value), MARGIN.left - 8, y(value));
  }
}

function names(pen, view, { colour, height, x, inner }) {
  const { genome } = view;
  pen.fillStyle = colour("ink-quiet");
  pen.textBaseline = "alphabetic";
  pen.textAlign = "center";
  if (genome.length === 1) {
    const [{ first, last, place }] = genome, step = stepOf((last - first) / 1e6, 5);
    for (let mega = Math.ceil(first / 1e6 / step) * step; mega * 1e6 <= last; mega += step) {
      pen.fillText(`${Number(mega.toPrecision(6)).toLocaleString(document.documentElement.lang)} Mb`, x(place(mega * 1e6)), height - 8);
    }
    return;
  }
  let free = 0;
  for (const contig of genome) {
    const middle = x(contig.from + contig.width / 2), wide = pen.measureText(contig.name).width;
    if (middle - wide / 2 < free) continue;
    pen.fillText(contig.name, middle, height - 8);
    free = middle + wide / 2 + 6;
  }
}

function stepOf(range, parts = 6) {
  const rough = range / parts, power = 10 ** Math.floor(Math.log10(rough || 1));
  return [1, 2, 5, 10].map((times) => times * power).find((step) => step >= rough) || 1;
}

function line(pen, x1, y1, x2, y2) {
  pen.beginPath();
  pen.moveTo(x1, Math.round(y1) + 0.5);
  pen.lineTo(x2, Math.round(y2) + 0.5);
  pen.stroke();
}

function mark(pen, view, colour) {
  const lead = view.found.leads[view.at], contig = view.genome.find((one) => one.name === lead.contig);
  const at = [view.x(contig.place(lead.position)), view.y(lead.strength)];
  pen.strokeStyle = colour("ink");
  pen.lineWidth = 2;
  pen.beginPath();
  pen.arc(...at, 7, 0, 7);
  pen.stroke();
  pen.lineWidth = 1;
  pen.setLineDash([2, 3]);
  pen.beginPath();
  pen.moveTo(at[0], at[1] + 8);
  pen.lineTo(at[0], view.y(0));
  pen.stroke();
  pen.setLineDash([]);
}

// The cursor: buttons, arrow keys within the figure, and a click near a peak all go to a lead; its words stand below.
function walkPeaks(view) {
  const { figure, found, genome } = view;
  const order = new Map(genome.map((contig, number) => [contig.name, number]));
  found.leads.sort((a, b) => order.get(a.contig) - order.get(b.contig) || a.position - b.position);
  const tools = figure.querySelector(".walk"), words = figure.querySelector("[role=status]"), link = tools.querySelector("a");
  if (!found.leads.length) return;
  tools.hidden = false;
  const number = (value) => value.toLocaleString(document.documentElement.lang, { maximumSignificantDigits: 4 });
  const go = (at) => {
    view.at = (at + found.leads.length) % found.leads.length;
    const lead = found.leads[view.at];
    const facts = [`−log₁₀ p ${number(lead.strength)}`];
    if (lead.beta !== null) facts.push(`${figure.dataset.effect} ${number(lead.beta)}`);
    if (lead.trait) facts.push(lead.trait);
    words.textContent = `${view.at + 1} / ${found.leads.length}: ${lead.variant}, ${facts.join(", ")}`;
    link.hidden = false;
    link.href = figure.dataset.variant.replace("VARIANT", encodeURIComponent(lead.variant));
    draw(view);
  };
  const strongest = () => found.leads.reduce((best, lead, at) => (lead.strength > found.leads[best].strength ? at : best), 0);
  const moves = { ArrowRight: () => go(view.at + 1), ArrowLeft: () => go(view.at < 0 ? -1 : view.at - 1), Home: () => go(0), End: () => go(-1) };
  figure.addEventListener("keydown", (event) => {
    const move = event.altKey || event.ctrlKey || event.metaKey ? null : moves[event.key];
    if (move) { event.preventDefault(); move(); }
  });
  const [back, peak, on] = tools.querySelectorAll("button");
  back.addEventListener("click", moves.ArrowLeft);
  peak.addEventListener("click", () => go(strongest()));
  on.addEventListener("click", moves.ArrowRight);
  figure.querySelector("canvas").addEventListener("click", (event) => {
    const near = found.leads.map((lead, at) => {
      const contig = genome.find((one) => one.name === lead.contig);
      return [Math.hypot(view.x(contig.place(lead.position)) - event.offsetX, (view.y(lead.strength) - event.offsetY) / 2), at];
    }).sort((a, b) => a[0] - b[0])[0];
    if (near[0] < 60) go(near[1]);
  });
}

function drawQuantiles({ found }) {
  const canvas = document.querySelector("canvas.quantiles");
  if (!canvas || !found.quantiles.length) return;
  const { pen, width, height, colour } = paper(canvas);
  const most = Math.max(...found.quantiles.map(([, observed]) => observed), 1), wide = Math.max(...found.quantiles.map(([e]) => e), 1);
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
  pen.fillStyle = colour("plot-a");
  for (const [expected, observed] of found.quantiles) {
    pen.beginPath();
    pen.arc(x(expected), y(observed), 2, 0, 7);
    pen.fill();
  }
}
