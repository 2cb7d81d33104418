"""The ancestry of a checkpoint as one self-contained page: the graph, what each stage was made from, and
every mismatch in red at the top.

Everything can be read without a script; the script only opens a node's facts on a click and shows its
ancestors under the mouse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.printable import escape
from tasks.report_page.graph import Node, draw
from tasks.report_page.style import CSS
from tasks.report_page.tables import leaves, shown

STATUSES = {
    "verified": "the bytes on this disk are those of the record",
    "modified": "the bytes on this disk differ from the record",
    "missing": "recorded, and not on this disk",
    "recorded": "known from the record; its bytes were not checked",
}
RAW_BOXES = 8  # more raw files than this stand in the graph as their folders


def render(lineage: Mapping[str, Any]) -> str:
    """The page of one lineage.

    `lineage` has `subject` {path, digest, kind}, `nodes` [{id, stage, key, outs, inputs, params, code,
    environment, git, run, metrics, status}], `edges` [[from id, to id, path]], `raw` [{path, digest, status}]
    and `problems` [{path, problem}]. An edge may start at a raw path. ValueError when an edge names an
    unknown node.
    """
    subject, nodes, raw = lineage["subject"], lineage["nodes"], lineage.get("raw", [])
    anchors = {node["id"]: f"node-{place}" for place, node in enumerate(nodes)}
    title, digest = f"Lineage of {subject['path']}", str(subject.get("digest") or "no digest")
    facts = "\n".join(
        _facts(node, anchors[node["id"]], _is_subject(node, subject)) for node in reversed(nodes)
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{CSS}{_CSS}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p><span class="badge">{escape(str(subject.get("kind") or "file"))}</span> <code class="digest">{escape(digest)}</code></p>
<p>{escape(_counted([*nodes, *raw]))}</p>
{_problems(lineage.get("problems", []))}
</header>
<main>
<section id="graph"><h2>Graph</h2>
<div class="scroll" role="region" tabindex="0" aria-label="Graph">{_graph(lineage, anchors)}</div>
<p class="quiet">A click on a stage opens its facts below. {escape(_legend([*nodes, *raw]))}</p>
</section>
<section id="stages"><h2>Stages, the last first</h2>
{facts}
</section>
<section id="raw"><h2>Raw data</h2>
{_raw(raw)}
</section>
</main>
<footer>Made by <code>whetstone lineage --html</code>; <code>whetstone audit</code> checks every byte again.</footer>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _graph(lineage: Mapping[str, Any], anchors: Mapping[str, str]) -> str:
    subject, raw = lineage["subject"], lineage.get("raw", [])
    place = {
        one["path"]: one["path"] if len(raw) <= RAW_BOXES else one["path"].rpartition("/")[0] or "."
        for one in raw
    }
    boxes = _raw_boxes(raw, place)
    hints: dict[tuple[str, str], str] = {}
    for start, end, path in lineage["edges"]:
        start = place.get(start, start)
        hints[start, end] = "\n".join(filter(None, (hints.get((start, end)), path)))
    for node in lineage["nodes"]:
        style = f"{node.get('status', '')}{' subject' if _is_subject(node, subject) else ''}"
        note = " · ".join(
            filter(None, (node.get("status", ""), _seconds((node.get("run") or {}).get("wall_s"))))
        )
        boxes.append(Node(node["id"], node["id"], note, style, f"#{anchors[node['id']]}", _hint(node)))
        for one in raw:
            if any(_holds(path, one["path"]) for path in node.get("inputs") or {}):
                hints.setdefault((place[one["path"]], node["id"]), place[one["path"]])
    known = {box.id for box in boxes}
    unknown = sorted({one for edge in hints for one in edge} - known)
    if unknown:
        raise ValueError(f"the lineage's edges name {', '.join(unknown)}, which is no node of it")
    return draw(boxes, hints, f"What {subject['path']} was made from", hints)


def _raw_boxes(raw: Sequence[Mapping[str, str]], place: Mapping[str, str]) -> list[Node]:
    """A box for each raw file, or for each folder of many, with the worst status in it."""
    worst = {
        box: min((one.get("status", "") for one in raw if place[one["path"]] == box), key=_badness)
        for box in place.values()
    }
    files = {box: "\n".join(path for path, own in place.items() if own == box) for box in worst}
    return [Node(box, box, status, f"raw {status}", "#raw", files[box]) for box, status in worst.items()]


def _badness(status: str) -> int:
    order = ("missing", "modified", "recorded", "verified")
    return order.index(status) if status in order else len(order)


def _holds(folder: str, path: str) -> bool:
    """Whether one of two paths is the other or lies in it."""
    first, second = folder.rstrip("/"), path.rstrip("/")
    return first == second or second.startswith(first + "/") or first.startswith(second + "/")


def _is_subject(node: Mapping[str, Any], subject: Mapping[str, Any]) -> bool:
    return any(_holds(path, subject["path"]) for path in node.get("outs") or {})


def _hint(node: Mapping[str, Any]) -> str:
    git = node.get("git") or {}
    commit = f"commit {str(git.get('commit') or 'unknown')[:12]}{' (dirty)' if git.get('dirty') else ''}"
    figures = [f"{name} {shown(value)}" for name, value in list(leaves(node.get("metrics") or {}))[:4]]
    return "\n".join([node["id"], commit, *figures])


def _facts(node: Mapping[str, Any], anchor: str, opened: bool) -> str:
    """One stage as a `<details>`: result first, then what it was made from."""
    git, run, status = node.get("git") or {}, node.get("run") or {}, str(node.get("status", ""))
    dirty = (
        "unknown"
        if "dirty" not in git
        else "yes: the tree had changes beyond this commit"
        if git["dirty"]
        else "no"
    )
    origin = {"stage": node.get("stage"), "key": node.get("key"), "commit": git.get("commit"), "dirty": dirty}
    origin |= {
        "wall time": _seconds(run.get("wall_s")) or None,
        "started": run.get("started"),
        "flow run": run.get("flow_run"),
    }
    groups = (
        ("Metrics", dict(leaves(node.get("metrics") or {}))),
        ("Parameters that mattered", dict(leaves(node.get("params") or {}))),
        ("Origin", origin),
        ("Environment", dict(leaves(node.get("environment") or {}))),
        ("Inputs", node.get("inputs") or {}),
        ("Outputs", node.get("outs") or {}),
        ("Code digests", node.get("code") or {}),
    )
    body = "".join(_group(name, values) for name, values in groups)
    wall, name = _seconds(run.get("wall_s")), escape(node["id"])
    return (
        f'<details id="{anchor}" data-node="{name}"{" open" if opened else ""}><summary>{name} '
        f"{_status(status)}"
        f'<small>{escape(wall)}</small></summary><div class="inside groups">{body}</div></details>'
    )


def _group(name: str, values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(str(key))}</th><td class="mono">{escape(shown(value))}</td></tr>'
        for key, value in values.items()
    )
    return (
        f'<div class="group"><h3>{escape(name)}</h3>'
        f'<div class="scroll" role="region" tabindex="0" '
        f'aria-label="{escape(name)}"><table><tbody>{rows}</tbody></table></div></div>'
    )


def _problems(problems: Sequence[Mapping[str, str]]) -> str:
    if not problems:
        return ""
    rows = "".join(
        f"<li><code>{escape(one['path'])}</code>: {escape(one['problem'])}</li>" for one in problems
    )
    word = "problem" if len(problems) == 1 else "problems"
    return (
        f'<section class="problems" id="problems" aria-label="Problems"><h2>{len(problems)} '
        f"{word}</h2><ul>{rows}</ul></section>"
    )


def _raw(raw: Sequence[Mapping[str, str]]) -> str:
    if not raw:
        return "<p>No raw data: the ancestry begins at its first stage.</p>"
    rows = "".join(
        f'<tr><th scope="row">{escape(one["path"])}</th><td>{_status(one.get("status", ""))}</td>'
        f'<td class="mono">{escape(str(one.get("digest") or "–"))}</td></tr>'
        for one in raw
    )
    head = (
        '<thead><tr><th scope="col">file</th><th scope="col">status</th><th '
        'scope="col">digest</th></tr></thead>'
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="Raw '
        f'data"><table>{head}<tbody>{rows}</tbody></table></div>'
    )


def _status(status: str) -> str:
    return (
        f'<span class="badge {escape(status)}" '
        f'title="{escape(STATUSES.get(status, ""))}">{escape(status or "unknown")}</span>'
    )


def _counted(parts: Sequence[Mapping[str, Any]]) -> str:
    statuses = [str(one.get("status", "")) for one in parts]
    return (
        ", ".join(f"{statuses.count(status)} {status}" for status in STATUSES if status in statuses)
        + f" of {len(parts)} stages and files."
    )


def _legend(parts: Sequence[Mapping[str, Any]]) -> str:
    found = {one.get("status") for one in parts}
    return " ".join(
        f"{status.capitalize()}: {meaning}." for status, meaning in STATUSES.items() if status in found
    )


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    whole = round(value)
    return f"{value:.1f} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


_CSS = """
.digest { overflow-wrap: anywhere }
.problems { border: 2px solid var(--bad); background: var(--bad-soft); border-radius: 10px; padding: .25rem 1.25rem .5rem; margin: 1rem 0 }
.problems h2 { color: var(--bad); border: 0; margin: .5rem 0 0; padding: 0 }
.problems ul { margin: .5rem 0; padding-left: 1.25rem; overflow-wrap: anywhere }
section:first-child h2 { margin-top: 1.5rem }
.graph .verified rect { stroke: var(--good) }
.graph .modified rect, .graph .missing rect { stroke: var(--bad); stroke-width: 2; fill: var(--bad-soft) }
.graph .modified .note, .graph .missing .note { fill: var(--bad); font-weight: 600 }
.graph .missing rect, .graph .raw.missing rect { stroke-dasharray: 6 4 }
.graph .raw rect { rx: 25px }
.graph .raw .label { font-size: 12px; font-weight: 500 }
.graph .subject rect { stroke-width: 3 }
.graph .faded { opacity: .22 }
.groups { display: flex; flex-wrap: wrap; gap: 0 3.5rem; align-items: flex-start }
.group { max-width: 100% }
.group h3 { margin: 1rem 0 .25rem }
.group .scroll { margin: 0 0 .75rem }
.group th, .group td { padding-top: .25rem; padding-bottom: .25rem; white-space: normal; overflow-wrap: anywhere }
.group td { max-width: 44rem }
details:target { border-color: var(--accent) }
"""

_SCRIPT = """
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
"""
