// A button with data-copies="id" copies the text of that element.
"use strict";

// Browsers offer the clipboard only to pages from HTTPS or localhost.
for (const button of navigator.clipboard ? document.querySelectorAll("[data-copies]") : []) {
  const name = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = name; }, 2000);
  });
}
