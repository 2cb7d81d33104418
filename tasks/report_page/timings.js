(() => {
  if (window.whetstoneGraph) {
    document.getElementById("graph-of-stages").innerHTML = window.whetstoneGraph;
    document.getElementById("graph-note").textContent = "What a longer way implies is left out.";
  }
  const timings = window.whetstoneTimings;
  const note = document.getElementById("timings-note");
  if (!timings || !Object.keys(timings).length) {
    note.textContent = "No timings were recorded: this page was not made by a run of `whetstone run`, or timings.js is not beside it.";
    return;
  }
  const seconds = s => {
    if (s == null) return "–";
    const whole = Math.round(s);
    return whole < 60 ? s.toFixed(1) + " s" : Math.floor(whole / 60) + " min " + whole % 60 + " s";
  };
  const body = document.querySelector("#timings tbody");
  const row = name => {
    const known = [...body.rows].find(one => one.dataset.stage === name);
    if (known) return known;
    const made = body.insertRow();
    made.dataset.stage = name;
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    made.append(head);
    for (let i = 0; i < 4; i++) made.insertCell().className = i < 2 ? "number" : "";
    return made;
  };
  let sum = 0;
  for (const [name, t] of Object.entries(timings)) {
    [seconds(t.wall_s), seconds(t.command_s), t.action || "–", t.run || "–"].forEach((text, i) => {
      row(name).cells[i + 1].textContent = text;
    });
    for (const cell of document.querySelectorAll("[data-wall]"))
      if (cell.dataset.wall.split(" ").includes(name)) cell.textContent = seconds(t.wall_s);
    for (const box of document.querySelectorAll(".graph .node"))
      if (box.dataset.id === name) box.querySelector(".note").textContent = seconds(t.wall_s);
    sum += t.wall_s || 0;
  }
  note.textContent = "Wall time of the run that made each result, " + seconds(sum) + " in all; stages may have run side by side.";
})();
