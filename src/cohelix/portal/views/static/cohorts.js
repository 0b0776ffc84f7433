// The cohort builder with JavaScript: suggestions while somebody types, and counts that follow. The server reads and draws the
// form in either case; its address is the state, so that reload, back button and a form without JavaScript do the same.

const form = document.querySelector("#builder");
const counts = document.querySelector("#counts");
const said = document.querySelector("#said");
const PAUSE = 450;
const told = (one, name) => one.getAttribute(`data-${name}`);  // a form's own `dataset` is its field of that name
const live = { asking: null, counting: null, waiting: 0, counted: told(form, "count") };

const fetched = async (address, signal) => {
  const answer = await fetch(address, { signal, headers: { "Cohelix-Part": "1", Accept: "text/html" } });
  return new DOMParser().parseFromString(await answer.text(), "text/html");
};

// The page of a state that the form, or a button of it, describes.
async function show(address, { redraw = false, keep = "push" } = {}) {
  clearTimeout(live.waiting);
  live.asking?.abort();
  live.asking = new AbortController();
  let page;
  try {
    page = await fetched(address, live.asking.signal);
  } catch (error) {
    if (error.name !== "AbortError") location.assign(address);  // the browser says what is wrong with the road
    return;
  }
  const now = page.querySelector("#builder");
  if (!now) { location.assign(address); return; }
  if (redraw) {
    const open = form.querySelector(".asked").open;
    form.replaceChildren(...now.childNodes);
    form.querySelector(".asked").open ||= open;
    enhance();
    const place = document.getElementById(told(now, "focus"));
    if (place) (place.querySelector("select[id^='v-'], input:not([type=hidden], [type=checkbox])") ?? place.querySelector("select") ?? place).focus();
  } else {
    for (const part of form.querySelectorAll("[data-said]")) {
      const same = now.querySelector(`[data-said="${CSS.escape(part.dataset.said)}"]`);
      if (same) part.replaceChildren(...same.childNodes);
    }
    for (const field of form.querySelectorAll("input[name], select[name]")) {
      const same = now.elements[field.name];
      if (same && same instanceof HTMLInputElement && field !== document.activeElement && field.type === "text") field.value = same.value;
      if (same?.hasAttribute?.("aria-invalid")) field.setAttribute("aria-invalid", "true"); else field.removeAttribute("aria-invalid");
    }
  }
  document.title = page.title;
  document.querySelector("#take").replaceChildren(...page.querySelector("#take").childNodes);
  document.dispatchEvent(new CustomEvent("drawn", { detail: document.querySelector("#take") }));
  for (const link of document.querySelectorAll(".languages a[hreflang]")) link.href = `/${link.hreflang}${told(now, "address")}`;
  const here = location.pathname + location.search;
  if (keep && told(now, "address") !== here) history[`${keep}State`](null, "", told(now, "address"));
  await count(told(now, "count"), page);
}

// The counts of a canonical address, as members answer; a question that nobody waits for any more is broken off.
async function count(query, page) {
  if (query && query === live.counted) return;
  live.counting?.abort();
  live.counting = null;
  live.counted = query;
  if (!query) { put(page.querySelector("#counts .inner")); return; }
  const mine = live.counting = new AbortController();
  busy(true);
  try {
    const answer = await fetch(`/cohorts/counts?${query}`, { signal: mine.signal });
    if (!answer.ok) throw new Error(answer.statusText);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let left = "", whole = false;
    for (let part; !(part = await reader.read()).done;) {
      const events = (left + part.value).split("\n\n");
      left = events.pop();
      for (const event of events) {
        if (event.startsWith(":")) continue;  // a sign of life
        whole = event.includes("event: whole");
        const html = JSON.parse(event.slice(event.indexOf("data: ") + 6));
        put(new DOMParser().parseFromString(html, "text/html").querySelector(".inner"), whole);
      }
    }
    if (!whole) throw new Error("the counts broke off");
  } catch (error) {
    if (error.name !== "AbortError") location.reload();  // numbers of another question must not stay; the browser says what is wrong
  }
  if (live.counting === mine) busy(false);
}

function put(inner, whole = true) {
  counts.querySelector(".inner").replaceWith(inner);
  if (!whole) { return; }
  busy(false);
  said.textContent = inner.dataset.told;
}

function busy(on) {
  counts.setAttribute("aria-busy", String(on));
  counts.querySelector(".working")?.remove();
  if (!on) return;
  const word = document.createElement("p");
  word.className = "working";
  word.textContent = counts.dataset.busyWord;
  counts.prepend(word);
}

function stated(button) {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    const isOther = name === "new" || name.endsWith(".new");
    const wanted = button?.value.startsWith("add@") && name === `${button.value.slice(4)}.new`.replace(/^\.new$/, "new");
    if (isOther ? wanted : value !== "") query.append(name, value);
  }
  if (button) query.append("do", button.value);
  return `/cohorts?${query}`;
}

const soon = (pause, keep) => {
  clearTimeout(live.waiting);
  live.waiting = setTimeout(() => show(stated(), { keep }), pause);
};

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const button = event.submitter;
  const changes = button && button.value !== "show";
  if (!changes) live.counted = "";  // somebody wants to know anew
  show(stated(changes ? button : null), { redraw: Boolean(changes) });
});
form.addEventListener("change", (event) => {
  const field = event.target;
  if (/(^|\.)new$/.test(field.name)) return;
  if (field.dataset.redraw !== undefined) show(stated(), { redraw: true }).then(() => document.getElementById(field.id)?.focus());
  else soon(0, "push");
});
form.addEventListener("input", (event) => {
  if (event.target.classList.contains("figure")) soon(PAUSE, "replace");  // the way back leads past every digit
});
window.addEventListener("popstate", () => show(location.pathname + location.search, { redraw: true, keep: "" }));

// Suggestions: a text field with a list, by the pattern "editable combobox with list autocomplete" of ARIA's authoring guide.
class Suggestions {
  constructor(input) {
    this.input = input;
    this.list = document.createElement("ul");
    this.list.className = "options";
    this.list.lang = "en";  // names of ontologies are, on pages of every language
    this.list.id = `${input.id}-options`;
    this.list.hidden = true;
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", input.labels[0]?.textContent ?? "");
    input.after(this.list);
    input.setAttribute("role", "combobox");
    input.setAttribute("aria-autocomplete", "list");
    input.setAttribute("aria-expanded", "false");
    input.setAttribute("aria-controls", this.list.id);
    input.addEventListener("input", () => this.ask(120));
    input.addEventListener("keydown", (event) => this.key(event));
    input.addEventListener("blur", () => this.close());
    this.list.addEventListener("pointerdown", (event) => {
      event.preventDefault();  // the field keeps the focus
      const option = event.target.closest("li");
      if (option) this.take(option);
    });
  }

  ask(pause) {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.fill(), pause);
  }

  async fill() {
    this.asking?.abort();
    this.asking = new AbortController();
    const query = new URLSearchParams({ field: this.input.dataset.suggest, q: this.input.value.trim() });
    let terms;
    try {
      const answer = await fetch(`/cohorts/terms?${query}`, { signal: this.asking.signal });
      terms = answer.ok ? (await answer.json()).terms : [];
    } catch { return; }
    if (document.activeElement !== this.input) return;
    this.list.replaceChildren(...terms.map(({ code, name }, number) => {
      const option = document.createElement("li");
      option.id = `${this.list.id}-${number}`;
      option.dataset.code = code;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      const [first, second] = name && code.includes(":") ? [name, code] : [code, name];  // a code is known by its name
      for (const [tag, words] of [["span", first], ["small", second]]) {
        if (!words) continue;
        const part = document.createElement(tag);
        part.textContent = words;
        option.append(part, " ");
      }
      return option;
    }));
    this.at = -1;
    this.input.removeAttribute("aria-activedescendant");
    this.open(terms.length > 0);
    if (this.wanted) { this.move(this.wanted); this.wanted = 0; }
  }

  open(on) {
    this.list.hidden = !on;
    this.input.setAttribute("aria-expanded", String(on));
  }

  close() {
    clearTimeout(this.waiting);
    this.asking?.abort();
    this.at = -1;
    this.input.removeAttribute("aria-activedescendant");
    this.open(false);
  }

  move(step) {
    const options = [...this.list.children];
    if (!options.length) return;
    options[this.at]?.setAttribute("aria-selected", "false");
    this.at = this.at < 0 ? (step > 0 ? 0 : options.length - 1) : (this.at + step + options.length) % options.length;
    const option = options[this.at];
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", option.id);
  }

  take(option) {
    this.input.value = option.dataset.code;
    this.close();
    this.input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      if (this.list.hidden) { this.wanted = event.altKey ? 0 : step; this.ask(0); } else this.move(step);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const option = this.list.children[this.at];
      if (option && !this.list.hidden) this.take(option);
      else { this.close(); soon(0, "push"); }
    } else if (event.key === "Escape" && !this.list.hidden) {
      event.preventDefault();
      this.close();
    }
  }
}

function enhance() {
  for (const input of form.querySelectorAll("input[data-suggest]:not([role])")) new Suggestions(input);
}
enhance();
