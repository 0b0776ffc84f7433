// What the pages gain with JavaScript: a button that copies a snippet, and a word while members are asked. All works without it.

for (const code of document.querySelectorAll("[data-copy]")) {
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

for (const button of document.querySelectorAll("button[data-busy]")) {
  const idle = button.textContent;
  button.form.addEventListener("submit", () => { button.textContent = button.dataset.busy; });
  window.addEventListener("pageshow", () => { button.textContent = idle; });
}
