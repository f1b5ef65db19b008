// Replaces the figures of an element with data-refresh by what its address answers, every data-seconds.
// It waits while the page is hidden and as long as the box is not ticked; and, which it says, while somebody is
// in the figures by keyboard or has selected some: both would be lost.
const figures = document.querySelector("[data-refresh]");
const box = document.querySelector("[data-pauses]");
const state = document.querySelector("[data-refreshed]");

let shownAt = new Date();

function isInUse() {
  const selection = document.getSelection();
  const isSelected = !selection.isCollapsed && figures.contains(selection.anchorNode);
  return isSelected || figures.querySelector(":focus-visible") !== null;
}

async function refresh() {
  if (document.hidden || !box.checked) return;
  if (isInUse()) {
    const time = shownAt.toISOString().slice(11, 19);
    state.textContent = `Paused while you select or focus figures, which are of ${time} UTC.`;
    return;
  }
  const open = [...figures.querySelectorAll("details")].map((each) => each.open);
  try {
    const answer = await fetch(figures.dataset.refresh, { headers: { "X-Requested-With": "fetch" } });
    // A redirect is the login page: the session has ended.
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    figures.innerHTML = await answer.text();
    figures.querySelectorAll("details").forEach((each, place) => { each.open = open[place] ?? false; });
    shownAt = new Date();
    state.textContent = "";
  } catch {
    state.textContent = "The figures could not be refreshed; load the page again.";
  }
}

if (figures) setInterval(refresh, Number(figures.dataset.seconds) * 1000);
