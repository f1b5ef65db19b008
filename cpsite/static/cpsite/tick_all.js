// A box with data-ticks="name" ticks all boxes of that name in its form, or none.
document.addEventListener("change", ({target}) => {
  if (!target.dataset.ticks) return;
  for (const box of target.form.querySelectorAll(`[name="${target.dataset.ticks}"]`)) box.checked = target.checked;
});
