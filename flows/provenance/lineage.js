(() => {
  const open = () => {
    const facts = document.getElementById(location.hash.slice(1));
    if (facts && facts.tagName === "DETAILS") { facts.open = true; facts.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  open();
  const edges = [...document.querySelectorAll(".graph .edge")], boxes = [...document.querySelectorAll(".graph .node")];
  const fade = id => {
    const kept = new Set([id]);
    for (let grown = true; grown;) {
      grown = false;
      for (const edge of edges)
        if (kept.has(edge.dataset.to) && !kept.has(edge.dataset.from)) { kept.add(edge.dataset.from); grown = true; }
    }
    for (const box of boxes) box.classList.toggle("faded", id !== null && !kept.has(box.dataset.id));
    for (const edge of edges) edge.classList.toggle("faded", id !== null && !kept.has(edge.dataset.to));
  };
  for (const box of boxes) {
    box.addEventListener("mouseenter", () => fade(box.dataset.id));
    box.addEventListener("mouseleave", () => fade(null));
    box.parentNode.addEventListener("click", () => setTimeout(open));
  }
})();
