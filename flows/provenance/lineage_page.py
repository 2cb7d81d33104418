"""The ancestry of a checkpoint as one self-contained HTML page: the graph, what each stage was made from, and
every mismatch in red at the top.

Everything can be read without a script. The script only opens a node's facts on a click and highlights its
ancestors under the mouse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.report_page.graph import Box, draw
from tasks.report_page.style import CSS
from tasks.report_page.tables import as_text, leaves
from tasks.report_page.templates import environment, trusted_markup

FOLDER = Path(__file__).parent
STATUSES = {
    "verified": "the bytes on this disk are those of the record",
    "modified": "the bytes on this disk differ from the record",
    "missing": "recorded, and not on this disk",
    "recorded": "known from the record; its bytes were not checked",
}
RAW_BOXES = 8  # more raw files than this stand in the graph as their folders


def render(lineage: Mapping[str, Any]) -> str:
    """Returns the HTML page of one lineage.

    `lineage` has `subject` {path, digest, kind}, `nodes` [{id, stage, key, outs, inputs, params, code,
    environment, git, run, metrics, status}], `edges` [[from id, to id, path]], `raw` [{path, digest, status}]
    and `problems` [{path, problem}]. An edge may start at a raw path. ValueError when an edge names an
    unknown node.
    """
    subject, nodes, raw = lineage["subject"], lineage["nodes"], lineage.get("raw", [])
    anchors = {node["id"]: f"node-{index}" for index, node in enumerate(nodes)}
    title, digest = f"Lineage of {subject['path']}", str(subject.get("digest") or "no digest")
    return (
        environment(FOLDER)
        .get_template("lineage.html.j2")
        .render(
            title=title,
            kind=str(subject.get("kind") or "file"),
            digest=digest,
            style=trusted_markup(CSS + (FOLDER / "lineage.css").read_text("utf-8")),
            script=trusted_markup((FOLDER / "lineage.js").read_text("utf-8")),
            counted=_counted([*nodes, *raw]),
            legend=_legend([*nodes, *raw]),
            problems=lineage.get("problems", []),
            graph=trusted_markup(_graph(lineage, anchors)),
            stages=[
                _facts(node, anchors[node["id"]], _is_subject(node, subject)) for node in reversed(nodes)
            ],
            raw=[
                {"path": file["path"], "status": file.get("status"), "digest": file.get("digest")}
                for file in raw
            ],
            statuses=STATUSES,
            shown=as_text,
        )
    )


def _graph(lineage: Mapping[str, Any], anchors: Mapping[str, str]) -> str:
    subject, raw = lineage["subject"], lineage.get("raw", [])
    boxes_of = {
        file["path"]: file["path"] if len(raw) <= RAW_BOXES else file["path"].rpartition("/")[0] or "."
        for file in raw
    }
    boxes = _raw_boxes(raw, boxes_of)
    hints: dict[tuple[str, str], str] = {}
    for start, end, path in lineage["edges"]:
        start = boxes_of.get(start, start)
        hints[start, end] = "\n".join(filter(None, (hints.get((start, end)), path)))
    for node in lineage["nodes"]:
        style = f"{node.get('status', '')}{' subject' if _is_subject(node, subject) else ''}"
        note = " · ".join(
            filter(None, (node.get("status", ""), _seconds((node.get("run") or {}).get("wall_s"))))
        )
        boxes.append(Box(node["id"], node["id"], note, style, f"#{anchors[node['id']]}", _hint(node)))
        for file in raw:
            if any(_holds(path, file["path"]) for path in node.get("inputs") or {}):
                hints.setdefault((boxes_of[file["path"]], node["id"]), boxes_of[file["path"]])
    box_ids = {box.id for box in boxes}
    unknown = sorted({file for edge in hints for file in edge} - box_ids)
    if unknown:
        raise ValueError(f"the lineage's edges name {', '.join(unknown)}, which is not one of its nodes")
    return draw(boxes, hints, f"What {subject['path']} was made from", hints)


def _raw_boxes(raw: Sequence[Mapping[str, str]], boxes_of: Mapping[str, str]) -> list[Box]:
    """Returns a box for each raw file, or for each folder of many, with the worst status in it."""
    worst = {
        box: min((file.get("status", "") for file in raw if boxes_of[file["path"]] == box), key=_badness)
        for box in boxes_of.values()
    }
    files = {box: "\n".join(path for path, box_of in boxes_of.items() if box_of == box) for box in worst}
    return [Box(box, box, status, f"raw {status}", "#raw", files[box]) for box, status in worst.items()]


def _badness(status: str) -> int:
    order = ("missing", "modified", "recorded", "verified")
    return order.index(status) if status in order else len(order)


def _holds(folder: str, path: str) -> bool:
    """Returns whether one of the two paths equals or contains the other."""
    first, second = folder.rstrip("/"), path.rstrip("/")
    return first == second or second.startswith(first + "/") or first.startswith(second + "/")


def _is_subject(node: Mapping[str, Any], subject: Mapping[str, Any]) -> bool:
    return any(_holds(path, subject["path"]) for path in node.get("outs") or {})


def _hint(node: Mapping[str, Any]) -> str:
    git = node.get("git") or {}
    commit = f"commit {str(git.get('commit') or 'unknown')[:12]}{' (dirty)' if git.get('dirty') else ''}"
    figures = [f"{name} {as_text(value)}" for name, value in list(leaves(node.get("metrics") or {}))[:4]]
    return "\n".join([node["id"], commit, *figures])


def _facts(node: Mapping[str, Any], anchor: str, opened: bool) -> dict[str, Any]:
    """Returns what the page shows of one stage: its results first, then what it was made from."""
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
    return {
        "anchor": anchor,
        "id": node["id"],
        "status": status,
        "opened": opened,
        "wall": _seconds(run.get("wall_s")),
        "groups": {
            "Metrics": dict(leaves(node.get("metrics") or {})),
            "Parameters that mattered": dict(leaves(node.get("params") or {})),
            "Origin": origin,
            "Environment": dict(leaves(node.get("environment") or {})),
            "Inputs": node.get("inputs") or {},
            "Outputs": node.get("outs") or {},
            "Code digests": node.get("code") or {},
        },
    }


def _counted(parts: Sequence[Mapping[str, Any]]) -> str:
    statuses = [str(part.get("status", "")) for part in parts]
    return (
        ", ".join(f"{statuses.count(status)} {status}" for status in STATUSES if status in statuses)
        + f" of {len(parts)} stages and files."
    )


def _legend(parts: Sequence[Mapping[str, Any]]) -> str:
    statuses = {part.get("status") for part in parts}
    return " ".join(
        f"{status.capitalize()}: {meaning}." for status, meaning in STATUSES.items() if status in statuses
    )


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    rounded = round(value)
    return f"{value:.1f} s" if rounded < 60 else f"{rounded // 60} min {rounded % 60} s"
