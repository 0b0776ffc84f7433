// The page of a variant while members are still asked: each answer is drawn when it arrives, by the server that draws the
// whole page. Without JavaScript the page waits for all of them; what is said in the end is the same.

const place = document.querySelector("#arriving");
const source = new EventSource(place.dataset.parts);

function draw(event) {
  const page = new DOMParser().parseFromString(JSON.parse(event.data), "text/html");
  for (const now of page.querySelectorAll("[id^='answer-']")) {
    const shown = document.getElementById(now.id);
    if (shown.innerHTML === now.innerHTML) continue;
    const read = shown.querySelector(".scroll");  // how far somebody has scrolled a wide table, and where the focus is
    const [left, focused] = [read?.scrollLeft ?? 0, read?.contains(document.activeElement) ?? false];
    shown.replaceChildren(...now.childNodes);
    const again = shown.querySelector(".scroll");
    if (again) again.scrollLeft = left;
    if (focused) again?.focus({ preventScroll: true });
  }
}

source.addEventListener("part", draw);
source.addEventListener("whole", (event) => {
  source.close();
  draw(event);
  document.querySelector("#said").textContent = place.dataset.said;
});
source.addEventListener("error", () => {  // the question is gone, or the road to the hub: the whole page says more
  source.close();
  location.replace(place.dataset.whole);
});
