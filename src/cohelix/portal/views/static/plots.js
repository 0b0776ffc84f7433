// The Manhattan plot of a released table. Its window is zoomed and moved by keys, buttons, mouse and touch; what the first
// drawing is too coarse for comes as tiles from the server. A cursor goes from peak to peak. Without JavaScript the page shows
// the server's picture. Places are along the whole genome, from 0 to 1; positions are bases of a contig.

import { MARGIN, axis, keepDrawn, line, number, paper, stepOf } from "./canvas.js";

const GAP = 0.006; // of the genome, between chromosomes
const TILE_COLUMNS = 512, CELL_PIXELS = 1.2, NARROWEST = 500; // bases
const AROUND_PEAK = 500_000; // bases to each side, as of a locus
const GENE_LANES = 4, LANE = 15;

for (const figure of document.querySelectorAll("[data-drawing]")) begin(figure);

async function begin(figure) {
  const [found, near] = await Promise.all([asked(figure.dataset.drawing), figure.dataset.lines && asked(figure.dataset.lines)]);
  if (!found || near === null) {
    figure.querySelector("[role=status]").textContent = figure.dataset.failed;
    return;
  }
  document.dispatchEvent(new CustomEvent("cohelix-drawing", { detail: found }));
  if (near) found.leads = near.strongest.map(leadOf);
  const genome = laidOut(found);
  const strengths = near ? found.leads.map((one) => one.strength) : found.contigs.flatMap((one) => one.part.strengths);
  const strongest = strengths.reduce((most, one) => Math.max(most, one), Math.max(found.threshold * 1.15, 1));
  const view = { figure, found, genome, canvas: figure.querySelector("canvas"), top: strongest * 1.05, at: -1, from: 0, to: 1, tiles: new Map() };
  view.genes = JSON.parse(figure.dataset.genes || "[]");
  view.bottom = MARGIN.bottom + (view.genes.length ? GENE_LANES * LANE : 0);
  view.home = figure.dataset.view ? placeOf(view, figure.dataset.view) : [0, 1];
  [view.from, view.to] = view.home;
  keepDrawn(view.canvas, () => { draw(view); figure.dataset.drawn = "yes"; load(view); });
  walkPeaks(view);
  watchHands(view);
  link(view);
}

async function asked(address) {
  const answer = await fetch(address, { headers: { accept: "application/json" } });
  return answer.ok ? answer.json() : null;
}

function leadOf(one) {
  const variant = [one.chromosome, one.position, one.other_allele, one.effect_allele].join("-");
  return { variant, trait: one.trait, contig: one.chromosome, position: one.position, strength: one.neg_log10_p, beta: one.beta };
}

// Each contig's place on the axis, and its lines as numbers.
function laidOut({ contigs, cellBases, cellSteps }) {
  const bases = (one) => Math.max(1, one.last - one.first), total = contigs.reduce((sum, one) => sum + bases(one), 0);
  const room = 1 - GAP * Math.max(0, contigs.length - 1);
  let from = 0;
  return contigs.map((one, number) => {
    const width = (bases(one) / total) * room, start = from;
    from += width + GAP;
    one.part = readPart({ ...one, cellBases, cellSteps });
    return {
      ...one, number, from: start, width, to: start + width, bases: bases(one),
      place: (position) => start + (width * (position - one.first)) / bases(one),
      position: (place) => one.first + ((place - start) / width) * bases(one),
    };
  });
}

// Cells of a column that touch become one stretch, so that a window of any table is some thousand rectangles.
function readPart(told) {
  const bits = Uint8Array.from(atob(told.cells), (letter) => letter.charCodeAt(0)), steps = told.cellSteps;
  const runs = [], set = (at) => bits[at >> 3] & (128 >> (at & 7));
  for (let column = 0; column * steps < bits.length * 8; column++) {
    for (let step = 0; step < steps; step++) {
      if (!set(column * steps + step)) continue;
      const low = step;
      while (step < steps && set(column * steps + step)) step++;
      runs.push([told.column + column, low, step]);
    }
  }
  let position = 0;
  return { runs, cellBases: told.cellBases, positions: told.positions.map((by) => (position += by)), strengths: told.strengths.map((s) => s / 100) };
}

function placeOf(view, text) {
  const [, name, first, last] = text.match(/^(.+):(\d+)-(\d+)$/), contig = view.genome.find((one) => one.name === name);
  if (!contig) return [0, 1];
  const within = (position) => Math.min(contig.last, Math.max(contig.first, position));
  return [contig.place(within(Number(first))), contig.place(within(Number(last)))];
}

// The stretches of contigs in the window: [contig, first position, last position, pixels a base].
function visible(view) {
  const wide = view.canvas.clientWidth - MARGIN.left - MARGIN.right;
  return view.genome.filter((one) => one.to > view.from && one.from < view.to).map((one) => [
    one,
    Math.max(one.first, one.position(view.from)),
    Math.min(one.last, one.position(view.to)),
    (wide * one.width) / one.bases / (view.to - view.from),
  ]);
}

// Which tiles show a stretch well; none where the first drawing's cells are fine enough.
function tilesOf(view, [contig, first, last, pixels]) {
  if (view.found.cellBases * pixels <= 2 * CELL_PIXELS) return [];
  const level = Math.min(Math.log2(view.found.cellBases) - 1, Math.max(0, Math.floor(Math.log2(CELL_PIXELS / pixels))));
  const bases = TILE_COLUMNS * 2 ** level, found = [];
  for (let at = Math.floor(first / bases); at * bases <= last; at++) found.push(nearest(view, contig.name, level, at));
  return found;
}

// A wider tile that has each of its lines already does for all within it.
function nearest(view, contig, level, at) {
  for (let up = 0; up < 8; up++) {
    const wider = `${contig}/${level + up}/${at >> up}`, known = view.tiles.get(wider);
    if (known && known.part && (up === 0 || known.exact)) return { key: wider, contig, level: level + up, at: at >> up };
  }
  return { key: `${contig}/${level}/${at}`, contig, level, at };
}

function load(view) {
  clearTimeout(view.waiting);
  view.waiting = setTimeout(() => {
    for (const stretch of visible(view)) {
      for (const { key, contig, level, at } of tilesOf(view, stretch)) {
        if (view.tiles.has(key)) continue;
        const slot = {};
        view.tiles.set(key, slot);
        const address = view.figure.dataset.tiles.replace("CONTIG", encodeURIComponent(contig)).replace("LEVEL", level).replace("NUMBER", at);
        asked(address).then((told) => {
          if (!told) return;
          slot.part = readPart(told);
          slot.exact = !slot.part.runs.length;
          soon(view);
        }, () => view.tiles.delete(key));
      }
    }
    if (view.tiles.size > 400) view.tiles = new Map([...view.tiles].slice(-200));
  }, 90);
}

function soon(view) {
  view.frame ||= requestAnimationFrame(() => { view.frame = 0; draw(view); });
}

function draw(view) {
  const { found, top, genome } = view, { pen, width, height, colour } = paper(view.canvas);
  const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - view.bottom };
  if (inner.width < 10) return;
  const x = (view.x = (place) => MARGIN.left + ((place - view.from) / (view.to - view.from)) * inner.width);
  const y = (view.y = (strength) => MARGIN.top + inner.height * (1 - strength / top));
  axis(pen, { colour, width, y, top, step: stepOf(top) });
  pen.save();
  pen.beginPath();
  pen.rect(MARGIN.left, 0, inner.width, height);
  pen.clip();
  const stretches = visible(view);
  for (const stretch of stretches) {
    const [contig, first, last] = stretch;
    pen.fillStyle = colour(contig.number % 2 && stretches.length > 1 ? "plot-b" : "plot-a");
    const tiles = tilesOf(view, stretch);
    if (!tiles.length) drawPart(pen, view, contig, contig.part, first, last);
    for (const { key, level, at } of tiles) {
      const bases = TILE_COLUMNS * 2 ** level, part = view.tiles.get(key)?.part;
      const [from, to] = [Math.max(first, at * bases), Math.min(last, (at + 1) * bases - 1)];
      const left = x(contig.place(from)), right = x(contig.place(to + 1));
      pen.save();
      if (!part) { // the first drawing stands in, for this stretch alone
        pen.beginPath();
        pen.rect(left, 0, right - left, height);
        pen.clip();
      }
      drawPart(pen, view, contig, part || contig.part, from, to);
      pen.restore();
    }
  }
  if (view.genes.length) drawGenes(pen, view, colour, height);
  pen.strokeStyle = colour("warn-line");
  pen.setLineDash([5, 4]);
  line(pen, MARGIN.left, y(found.threshold), width - MARGIN.right, y(found.threshold));
  pen.setLineDash([]);
  if (view.at >= 0) mark(pen, view, colour);
  pen.restore();
  names(pen, view, { colour, height, genome });
}

function drawPart(pen, view, contig, part, first, last) {
  const { x, y } = view, bases = part.cellBases, tall = y(0) - y(0.1);
  const wide = Math.max(1.5, x(contig.place(bases)) - x(contig.place(0)) + 0.5);
  for (const [column, low, high] of part.runs) {
    if ((column + 1) * bases <= first || column * bases > last) continue;
    const left = x(contig.place(Math.max(contig.first, column * bases)));
    pen.fillRect(left, y(high / 10), Math.min(wide, x(contig.to) - left + 1), Math.max(1.5, (high - low) * tall + 0.5));
  }
  part.positions.forEach((position, at) => {
    if (position < first || position > last) return;
    pen.beginPath();
    pen.arc(x(contig.place(position)), y(part.strengths[at]), part.runs.length ? 2 : 2.5, 0, 7);
    pen.fill();
  });
}

function drawGenes(pen, view, colour, height) {
  const contig = view.genome.find((one) => one.name === view.figure.dataset.view.split(":")[0]), ends = Array(GENE_LANES).fill(-Infinity);
  if (!contig) return;
  pen.textAlign = "left";
  pen.textBaseline = "alphabetic";
  for (const [symbol, first, last] of view.genes) {
    const left = Math.max(MARGIN.left, view.x(contig.place(first))), right = view.x(contig.place(last));
    if (right < MARGIN.left || left > view.canvas.clientWidth) continue;
    const lane = ends.findIndex((end) => left > end + 6);
    if (lane < 0) continue;
    ends[lane] = Math.max(right, left + pen.measureText(symbol).width);
    const depth = height - view.bottom + 14 + lane * LANE;
    pen.fillStyle = colour("plot-b");
    pen.fillRect(left, depth + 1, Math.max(2, right - left), 3);
    pen.fillStyle = colour("ink-quiet");
    pen.fillText(symbol, left, depth - 1);
  }
}

function names(pen, view, { colour, height, genome }) {
  pen.fillStyle = colour("ink-quiet");
  pen.textBaseline = "alphabetic";
  pen.textAlign = "center";
  const shown = visible(view);
  if (shown.length === 1) {
    const [contig, first, last] = shown[0], step = stepOf((last - first) / 1e6, Math.max(2, Math.min(6, view.canvas.clientWidth / 130)));
    for (let mega = Math.ceil(first / 1e6 / step) * step; mega * 1e6 <= last; mega += step) {
      const words = `${genome.length > 1 ? `${contig.name}: ` : ""}${number(mega, 7)} Mb`, half = pen.measureText(words).width / 2;
      const at = view.x(contig.place(mega * 1e6));
      pen.fillText(words, Math.min(view.canvas.clientWidth - half - 2, Math.max(half + 2, at)), height - 8);
    }
    return;
  }
  let free = 0;
  for (const [contig] of shown) {
    const middle = (view.x(Math.max(view.from, contig.from)) + view.x(Math.min(view.to, contig.to))) / 2;
    const wide = pen.measureText(contig.name).width;
    if (middle - wide / 2 < free) continue;
    pen.fillText(contig.name, middle, height - 8);
    free = middle + wide / 2 + 6;
  }
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

// Shows another window, no narrower than some hundred bases and within the genome.
function show(view, from, to, tell = true) {
  const bases = view.genome.reduce((sum, one) => sum + one.bases, 0), width = Math.min(1, Math.max(to - from, NARROWEST / bases));
  const start = Math.min(1 - width, Math.max(0, (from + to - width) / 2));
  [view.from, view.to] = [start, start + width];
  soon(view);
  load(view);
  link(view);
  clearTimeout(view.telling);
  if (tell) view.telling = setTimeout(() => { view.figure.querySelector("[role=status]").textContent = words(view); }, 250);
}

function zoom(view, times, around = null) {
  const lead = view.found.leads[view.at], contig = lead && view.genome.find((one) => one.name === lead.contig);
  const peak = contig && contig.place(lead.position), seen = peak >= view.from && peak <= view.to;
  const middle = around ?? (seen ? peak : (view.from + view.to) / 2);
  show(view, middle - (middle - view.from) * times, middle + (view.to - middle) * times);
}

function move(view, share) {
  const by = share * (view.to - view.from), within = Math.min(1 - view.to, Math.max(-view.from, by));
  show(view, view.from + within, view.to + within);
}

function words(view) {
  const { figure } = view, shown = visible(view), place = (position) => Math.round(position).toLocaleString("en");
  if (view.from <= 0 && view.to >= 1) return figure.dataset.whole;
  const [first] = shown, last = shown.at(-1);
  if (!first) return "";
  const told = first === last ? `${first[0].name}:${place(first[1])}–${place(first[2])}` : `${first[0].name}:${place(first[1])} – ${last[0].name}:${place(last[2])}`;
  return figure.dataset.shown.replace("PLACE", told);
}

function link(view) {
  const shown = visible(view), way = view.figure.querySelector(".to-window");
  way.hidden = shown.length !== 1;
  if (!way.hidden) way.href = regionPath(view, shown[0][0].name, shown[0][1], shown[0][2]);
}

function regionPath(view, contig, first, last) {
  return view.figure.dataset.region.replace("REGION", `${encodeURIComponent(contig)}:${Math.max(1, Math.round(first))}-${Math.round(last)}`);
}

// The cursor: buttons, arrow keys within the figure, and a click near a peak all go to a lead; its words stand below.
function walkPeaks(view) {
  const { figure, found, genome } = view, order = new Map(genome.map((contig, at) => [contig.name, at]));
  found.leads = found.leads.filter((lead) => order.has(lead.contig));
  found.leads.sort((a, b) => order.get(a.contig) - order.get(b.contig) || a.position - b.position);
  const status = figure.querySelector("[role=status]"), ways = (name) => figure.querySelector(`.to-${name}`);
  figure.querySelector(".walk").hidden = false;
  view.go = (at) => {
    if (!found.leads.length) return;
    view.at = (at + found.leads.length) % found.leads.length;
    const lead = found.leads[view.at], place = genome[order.get(lead.contig)].place(lead.position), half = (view.to - view.from) / 2;
    if (place < view.from || place > view.to) show(view, place - half, place + half, false);
    clearTimeout(view.telling);
    const facts = [`−log₁₀ p ${number(lead.strength)}`];
    if (lead.beta !== null) facts.push(`${figure.dataset.effect} ${number(lead.beta)}`);
    if (lead.trait) facts.push(lead.trait);
    status.textContent = `${view.at + 1} / ${found.leads.length}: ${lead.variant}, ${facts.join(", ")}`;
    ways("variant").hidden = ways("peak").hidden = false;
    ways("variant").href = figure.dataset.variant.replace("VARIANT", encodeURIComponent(lead.variant));
    ways("peak").href = regionPath(view, lead.contig, lead.position - AROUND_PEAK, lead.position + AROUND_PEAK);
    soon(view);
  };
  const strongest = () => found.leads.reduce((best, lead, at) => (lead.strength > found.leads[best].strength ? at : best), 0);
  const moves = {
    back: () => view.go(view.at < 0 ? -1 : view.at - 1), on: () => view.go(view.at + 1), strongest: () => view.go(strongest()),
    first: () => view.go(0), last: () => view.go(-1), closer: () => zoom(view, 0.5), wider: () => zoom(view, 2),
    left: () => move(view, -0.25), right: () => move(view, 0.25), all: () => show(view, 0, 1),
  };
  const keys = { ArrowRight: "on", ArrowLeft: "back", Home: "first", End: "last", "+": "closer", "=": "closer", "-": "wider", "−": "wider", 0: "all" };
  figure.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const name = event.shiftKey && event.key === "ArrowLeft" ? "left" : event.shiftKey && event.key === "ArrowRight" ? "right" : keys[event.key];
    if (name) { event.preventDefault(); moves[name](); }
  });
  for (const button of figure.querySelectorAll("button[value]")) button.addEventListener("click", moves[button.value]);
}

// Mouse and fingers: a drag moves the window, two fingers and the wheel with Ctrl zoom it, a click near a peak goes there.
function watchHands(view) {
  const { canvas, found, genome } = view, fingers = new Map();
  let dragged = false;
  const placeAt = (offset) => view.from + ((offset - MARGIN.left) / (canvas.clientWidth - MARGIN.left - MARGIN.right)) * (view.to - view.from);
  const local = (event) => event.clientX - canvas.getBoundingClientRect().left;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    fingers.set(event.pointerId, local(event));
    dragged = fingers.size > 1;
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const before = fingers.get(event.pointerId), now = local(event);
    if (!dragged && Math.abs(now - before) < 5) return;
    if (!dragged) canvas.setPointerCapture(event.pointerId);
    dragged = true;
    const other = [...fingers].find(([id]) => id !== event.pointerId);
    if (other) {
      const apart = Math.abs(before - other[1]), wanted = Math.max(8, Math.abs(now - other[1]));
      zoom(view, Math.min(4, Math.max(0.25, apart / wanted)), placeAt((now + other[1]) / 2));
    } else move(view, (before - now) / (canvas.clientWidth - MARGIN.left - MARGIN.right));
    fingers.set(event.pointerId, now);
  });
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) { event.preventDefault(); zoom(view, Math.exp(event.deltaY / 200), placeAt(local(event))); }
    else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) && view.to - view.from < 1) { event.preventDefault(); move(view, event.deltaX / canvas.clientWidth); }
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => zoom(view, 1 / 3, placeAt(local(event))));
  canvas.addEventListener("click", (event) => {
    if (dragged) return;
    const near = found.leads.map((lead, at) => {
      const contig = genome.find((one) => one.name === lead.contig);
      return [Math.hypot(view.x(contig.place(lead.position)) - event.offsetX, (view.y(lead.strength) - event.offsetY) / 2), at];
    }).sort((a, b) => a[0] - b[0])[0];
    if (near && near[0] < 60) view.go(near[1]);
  });
}
