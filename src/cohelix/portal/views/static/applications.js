// A draft saves itself a moment after somebody stopped typing; the save button does the same without JavaScript.

const form = document.querySelector("form[data-autosave]");
const status = document.querySelector("#saving");
const PAUSE = 1500;
let waiting, saving = false, again = false;

async function save() {
  if (saving) { again = true; return; }
  saving = true;
  status.textContent = form.dataset.saving;
  // A tick that takes a dataset out is a decision of the buttons, not of a pause.
  const fields = [...new FormData(form)].filter(([name]) => !name.startsWith("remove:"));
  try {
    const answer = await fetch(form.action, {
      method: "POST", body: new URLSearchParams(fields), headers: { "X-Autosave": "1" },
    });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fault = page.querySelector("[role=alert]");
    if (fault || !answer.ok) throw new Error(fault ? fault.textContent : answer.statusText);
    for (const name of ["version", "request", "form_key"]) {
      form.elements[name].value = page.querySelector(`#application [name=${name}]`).value;
    }
    if (!document.querySelector("#advice").contains(document.activeElement) && !form.querySelector("#advice :checked")) {
      document.querySelector("#advice").replaceChildren(...page.querySelector("#advice").childNodes);
    }
    status.textContent = `${form.dataset.saved} ${new Date().toLocaleTimeString()}`;
  } catch (error) {
    status.textContent = `${form.dataset.failed} ${error.message}`;
  }
  saving = false;
  if (again) { again = false; save(); }
}

form.addEventListener("input", (event) => {
  if (event.target.name.startsWith("remove:")) return;
  clearTimeout(waiting);
  waiting = setTimeout(save, PAUSE);
});
form.addEventListener("submit", () => clearTimeout(waiting));
