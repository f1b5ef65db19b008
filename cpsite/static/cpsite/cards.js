// Shows the rows of a table as cards where its columns do not fit beside each other.
"use strict";

(() => {
  const TABLES = "#result_list, .audit-table";
  const widths = new WeakMap();

  // A card has no heads of columns above it: each cell gets the name of its own.
  function nameCells(table) {
    const names = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
    for (const row of table.tBodies[0]?.rows ?? []) {
      [...row.cells].forEach((cell, number) => {
        cell.dataset.label ??= names[number] ?? "";
        cell.toggleAttribute("data-empty", cell.textContent.trim() === "-");
      });
    }
  }

  function fit(box, table) {
    if (!table || widths.get(box) === box.clientWidth) return;
    widths.set(box, box.clientWidth);
    table.classList.remove("as-cards");
    table.classList.toggle("as-cards", box.scrollWidth > box.clientWidth + 1);
  }

  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) fit(target, target.querySelector(TABLES));
  });

  for (const table of document.querySelectorAll(TABLES)) {
    nameCells(table);
    fit(table.parentElement, table);
    resized.observe(table.parentElement);
  }
})();
