// A box with data-ticks="kind" ticks all boxes with that data-kind in its form, or none.
document.addEventListener("change", ({target}) => {
  if (!target.dataset.ticks) return;
  for (const box of target.form.querySelectorAll(`[data-kind="${target.dataset.ticks}"]`)) box.checked = target.checked;
});
