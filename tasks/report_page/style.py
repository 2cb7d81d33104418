"""The look of Whetstone's pages, and the script that fills in timings.

They are Python strings, not files beside the code, so that the stage's code digest holds them: a changed look makes the page anew.
"""

CSS = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --panel: #f6f8fa; --ink: #1f2328; --faint: #59636e; --line: #d8dee4; --accent: #0b5cd5; --track: #e4e8ec;
  --good: #176f2c; --good-soft: #dcf5e2; --bad: #b42318; --bad-soft: #fde8e6; --odd: #8a5200; --odd-soft: #fcefd5;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d1117; --panel: #161b22; --ink: #e6edf3; --faint: #9198a1; --line: #30363d; --accent: #6cb0ff; --track: #2a313a;
    --good: #56d37a; --good-soft: #12301c; --bad: #ff8b80; --bad-soft: #3c1715; --odd: #e7b352; --odd-soft: #35270c;
  }
}
* { box-sizing: border-box }
html { scroll-behavior: smooth; scroll-padding-top: 3.5rem }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto } }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif }
header, main, footer { max-width: 78rem; margin: 0 auto; padding: 0 1.5rem }
header { padding-top: 2.5rem }
footer { padding-top: 1.5rem; padding-bottom: 3rem; color: var(--faint); font-size: .875rem }
h1 { font-size: 2rem; line-height: 1.2; letter-spacing: -.015em; margin: 0 0 .5rem }
h2 { font-size: 1.375rem; letter-spacing: -.01em; margin: 3rem 0 .75rem; padding-top: 1.25rem; border-top: 1px solid var(--line) }
section:first-child h2 { border-top: 0; margin-top: 1rem }
h3 { font-size: 1.0625rem; margin: 2rem 0 .5rem }
p { margin: .5rem 0 1rem; max-width: 48rem }
.lead { font-size: 1.125rem }
.quiet, caption small { color: var(--faint) }
a { color: var(--accent) }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
nav { position: sticky; top: 0; z-index: 2; margin-top: 1.25rem; background: var(--page); border-bottom: 1px solid var(--line) }
nav ul { display: flex; gap: 1.25rem; list-style: none; margin: 0 auto; padding: .6rem 1.5rem; max-width: 78rem; overflow-x: auto }
nav a { color: var(--faint); text-decoration: none; white-space: nowrap; font-size: .9375rem }
nav a:hover { color: var(--ink); text-decoration: underline }
code, .mono { font-family: var(--mono); font-size: .875em }

.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem; margin: 1.5rem 0 }
.card { background: var(--panel); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.125rem }
.card h3 { margin: 0; font-size: .875rem; font-weight: 500; color: var(--faint) }
.card .big { font-size: 2rem; line-height: 1.25; font-weight: 650; font-variant-numeric: tabular-nums; letter-spacing: -.02em }
.card .big small { font-size: .9375rem; font-weight: 500; letter-spacing: 0 }
.card .from { color: var(--faint); font-size: .875rem; font-variant-numeric: tabular-nums }

.scroll { overflow-x: auto; margin: .75rem 0 1.5rem }
.beside { display: flex; flex-wrap: wrap; gap: 0 4rem; align-items: flex-start }
.beside > .scroll { max-width: 100% }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9375rem }
caption { text-align: left; font-weight: 600; padding-bottom: .5rem }
th, td { text-align: left; padding: .45rem 1.5rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; white-space: nowrap }
th:last-child, td:last-child { padding-right: .5rem }
thead th { font-weight: 500; color: var(--faint); font-size: .8125rem; vertical-align: bottom }
thead tr:first-child th[colspan] { border-bottom: 0; padding-bottom: 0; color: var(--ink); font-weight: 600 }
tbody th { font-weight: 500 }
td.number, th.number { text-align: right }
.interval { color: var(--faint); font-size: .8125rem; margin-left: .35rem }
.strip { display: block; position: relative; width: 9.5rem; height: 4px; margin-top: .3rem; border-radius: 2px; background: var(--track) }
.strip i { position: absolute; top: 0; height: 4px; border-radius: 2px; background: var(--accent); opacity: .45 }
.strip b { position: absolute; top: -3px; width: 3px; height: 10px; margin-left: -1.5px; border-radius: 2px; background: var(--accent) }
.better { color: var(--good) } .worse { color: var(--bad) }

.badge { display: inline-block; padding: 0 .55em; border-radius: 1em; font-size: .8125rem; font-weight: 600; line-height: 1.6;
  background: var(--panel); color: var(--faint); border: 1px solid transparent }
.badge.right, .badge.verified, .badge.better { background: var(--good-soft); color: var(--good) }
.badge.wrong, .badge.modified, .badge.missing, .badge.worse { background: var(--bad-soft); color: var(--bad) }
.badge.error { background: var(--odd-soft); color: var(--odd) }

.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 1rem; margin: 1rem 0 }
figure { margin: 0; background: var(--panel); border: 1px solid var(--line); border-radius: 10px; padding: .75rem .875rem }
figure img { display: block; width: 100%; height: auto }
figcaption { color: var(--faint); font-size: .875rem }

.graph { display: block; height: auto }
.graph rect { fill: var(--panel); stroke: var(--line); stroke-width: 1.2 }
.graph text { text-anchor: middle; fill: var(--ink); font-family: inherit }
.graph .label { font-size: 14px; font-weight: 600 }
.graph .note { font-size: 12px; fill: var(--faint); font-variant-numeric: tabular-nums }
.graph .edge { fill: none; stroke: var(--faint); stroke-width: 1.3; opacity: .65 }
.graph .head { fill: var(--faint) }
.graph a:hover rect, .graph a:focus-visible rect { stroke: var(--accent); stroke-width: 2 }

details { border: 1px solid var(--line); border-radius: 10px; margin: .75rem 0; background: var(--page) }
details > summary { cursor: pointer; padding: .6rem .9rem; font-weight: 600; border-radius: 10px; background: var(--panel) }
details[open] > summary { border-bottom: 1px solid var(--line); border-radius: 10px 10px 0 0 }
details > .inside { padding: .25rem .9rem .75rem }
summary small { font-weight: 400; color: var(--faint); margin-left: .4rem }

.sample { border-top: 1px solid var(--line); padding: 1rem 0 .5rem }
.sample:first-child { border-top: 0 }
.sample .meta { color: var(--faint); font-size: .8125rem; margin: 0 0 .25rem; max-width: none }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1rem; margin-top: .5rem }
.side > p { margin: 0 0 .25rem; font-size: .875rem; max-width: none }
pre { margin: 0; padding: .6rem .75rem; background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  font: .8125rem/1.5 var(--mono); white-space: pre-wrap; overflow-wrap: anywhere }
pre.prompt { background: transparent; border-style: dashed }
.side.right pre { border-left: 3px solid var(--good) } .side.wrong pre { border-left: 3px solid var(--bad) }
.side.error pre { border-left: 3px solid var(--odd) }
@media print { nav { position: static } .scroll { overflow: visible } }
"""

TIMINGS = """
(() => {
  const timings = window.whetstoneTimings;
  const note = document.getElementById("timings-note");
  if (!timings || !Object.keys(timings).length) {
    note.textContent = "No timings were recorded: this page was not made by a run of `whetstone run`, or timings.js is not beside it.";
    return;
  }
  const seconds = s => {
    if (s == null) return "\\u2013";
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
    [seconds(t.wall_s), seconds(t.command_s), t.action || "\\u2013", t.run || "\\u2013"].forEach((text, i) => {
      row(name).cells[i + 1].textContent = text;
    });
    for (const box of document.querySelectorAll(".graph .node"))
      if (box.dataset.id === name) box.querySelector(".note").textContent = seconds(t.wall_s);
    sum += t.wall_s || 0;
  }
  note.textContent = "Wall time of the run that made each result, " + seconds(sum) + " in all; stages may have run side by side.";
})();
"""
