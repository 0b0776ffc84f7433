// A run that goes on: with each event the server draws the changing part anew; when the run has ended, the whole page.

const live = document.querySelector("#live");
const PAUSE = 400;  // events come in heaps: the part is asked for once for each heap
const AGAIN = 3000;  // where the line of events cannot be had
let waiting = 0;

async function draw() {
  waiting = 0;
  let part;
  try {
    const answer = await fetch(live.dataset.part, { headers: { Accept: "text/html" } });
    part = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".inner");
  } catch {
    later(AGAIN);
    return;
  }
  if (!part || !("going" in part.dataset)) { location.reload(); return; }
  const told = live.querySelector("[role=status]"), now = part.querySelector("[role=status]");
  const open = live.querySelector("details")?.open ?? true;
  if (told && now) {  // the words that a screen reader follows stay the same element
    if (told.textContent !== now.textContent) told.replaceChildren(...now.childNodes);
    now.replaceWith(told);
  }
  const details = part.querySelector("details");
  if (details) details.open = open;
  live.querySelector(".inner").replaceWith(part);
}

function later(pause = PAUSE) {
  waiting ||= setTimeout(draw, pause);
}

// The browser comes back to a line that was cut with the number of the last event.
const events = new EventSource(`${live.dataset.events}?after=${live.dataset.last}`);
for (const name of ["state", "accepted", "refused", "absent", "lost", "progress", "not-told-of-the-end"]) {
  events.addEventListener(name, () => later());
}
events.addEventListener("error", () => {
  if (events.readyState === EventSource.CLOSED) setInterval(draw, AGAIN); else later();
});
