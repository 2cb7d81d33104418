(() => {
  const page = document.documentElement.dataset, period = Number(page.period);
  // what the reader has opened stays open
  for (const part of document.querySelectorAll("details[id]")) {
    const key = "live " + part.id;
    try {
      if (sessionStorage[key]) part.open = sessionStorage[key] === "open";
      part.addEventListener("toggle", () => { sessionStorage[key] = part.open ? "open" : "shut"; });
    } catch { /* a browser that keeps nothing for files */ }
  }
  if (!period) return;
  const written = document.getElementById("written"), text = written.textContent, born = Date.now();
  setInterval(() => {
    const age = Math.max(0, Math.round(Date.now() / 1000 - Number(page.taken)));
    written.textContent = text + " " + age + " s ago.";
    document.getElementById("late").hidden = age < 12 * period;
    // nobody's reading is to be interrupted: not while text is marked or the page is not seen
    if (Date.now() - born > 1000 * period && !document.hidden && getSelection().isCollapsed) location.reload();
  }, 1000);
})();
