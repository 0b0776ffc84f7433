// What the pages gain with JavaScript: a button that copies a snippet, and a word while members are asked. All works without it.

function offerCopies(part) {
  for (const code of part.querySelectorAll("[data-copy]")) offerCopy(code);
}

function offerCopy(code) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = code.dataset.copy;
  const status = document.createElement("span");
  status.className = "unseen";
  status.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent.trim());
    button.textContent = status.textContent = code.dataset.copied;
    setTimeout(() => { button.textContent = code.dataset.copy; }, 2000);
  });
  code.after(button, status);
}

offerCopies(document);
document.addEventListener("drawn", (event) => offerCopies(event.detail));  // a part that a page's own script has put in

for (const button of document.querySelectorAll("button[data-busy]")) {
  const idle = button.textContent;
  button.form.addEventListener("submit", () => { button.textContent = button.dataset.busy; });
  window.addEventListener("pageshow", () => { button.textContent = idle; });
}
