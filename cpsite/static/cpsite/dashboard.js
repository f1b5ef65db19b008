// Replaces the figures of an element with data-refresh by what its address answers, every data-seconds.
// It waits while the page is hidden, while somebody is in the figures, and as long as the box is not ticked.
const figures = document.querySelector("[data-refresh]");
const box = document.querySelector("[data-pauses]");
const state = document.querySelector("[data-refreshed]");

async function refresh() {
  if (document.hidden || !box.checked || figures.contains(document.activeElement)) return;
  const open = [...figures.querySelectorAll("details")].map((each) => each.open);
  try {
    const answer = await fetch(figures.dataset.refresh, { headers: { "X-Requested-With": "fetch" } });
    // A redirect is the login page: the session has ended.
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    figures.innerHTML = await answer.text();
    figures.querySelectorAll("details").forEach((each, place) => { each.open = open[place] ?? false; });
    state.textContent = "";
  } catch {
    state.textContent = "The figures could not be refreshed; load the page again.";
  }
}

if (figures) setInterval(refresh, Number(figures.dataset.seconds) * 1000);
