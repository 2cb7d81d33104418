"""An ancestry for the terminal: the checkpoint is the root, each stage lists what it was made from, and raw
files are the leaves.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.text import Text
from rich.tree import Tree

RAW_FILES = 12  # raw files shown below one stage
METRICS = 6  # figures shown of one stage
MODULES = 3  # code digests shown of an ancestor; all of the subject's own stage
_STYLE = {"verified": "green", "modified": "bold red", "missing": "bold red", "recorded": "yellow"}


def _line(markup: str) -> Text:
    """Returns markup as text that wraps even where the console crops (for a pipe), so that no parameter is
    lost.
    """
    text = Text.from_markup(markup)
    text.no_wrap, text.overflow = False, "fold"
    return text


def tree(ancestry: Mapping[str, Any]) -> Tree:
    """Returns the rich tree of a lineage (the value of `flows.provenance.lineage.lineage`)."""
    subject = ancestry["subject"]
    nodes = {node["id"]: node for node in ancestry["nodes"]}
    title = f"[bold]{escape(subject['path'])}[/]  {subject['kind']}  {subject['digest'] or 'no bytes'}"
    if subject.get("version"):
        title += f"  registered as {escape(subject['name'])} version {subject['version']}"
    top = Tree(_line(title))
    for problem in ancestry["problems"]:
        top.add(_line(f"[bold red]{escape(problem['path'])}[/]: {escape(problem['problem'])}"))
    readers = {start for start, _, _ in ancestry["edges"]}
    for name in [name for name in nodes if name not in readers]:
        _add(top, nodes[name], ancestry, nodes, set())
    return top


def _add(
    parent: Tree,
    node: Mapping[str, Any],
    ancestry: Mapping[str, Any],
    nodes: Mapping[str, Any],
    shown: set[str],
) -> None:
    """Add a stage with its facts and its inputs. A stage that was shown above is only named."""
    head = f"[bold]{escape(node['id'])}[/] [{_STYLE[node['status']]}]{node['status']}[/]"
    if node["id"] in shown:
        parent.add(_line(f"{head}  (shown above)"))
        return
    shown.add(node["id"])
    branch = parent.add(_line(f"{head}  {escape(_origin(node))}"))
    for name, value in _facts(node, MODULES if len(shown) > 1 else len(node["code"])):
        branch.add(_line(f"[dim]{name}[/] {escape(value)}"))
    by_producer: dict[str, list[str]] = {}
    for start, end, path in ancestry["edges"]:
        if end == node["id"]:
            by_producer.setdefault(start, []).append(path)
    for start, paths in by_producer.items():
        below = branch.add(
            _line("from " + ", ".join(f"{escape(path)} {node['inputs'].get(path, '')}" for path in paths))
        )
        _add(below, nodes[start], ancestry, nodes, shown)
    inside = [row for row in ancestry["raw"] if any(_within(row["path"], path) for path in node["inputs"])]
    # of a hub or package
    raw = [
        *inside,
        *(row for row in ancestry["raw"] if row not in inside and row.get("read_by") == node["stage"]),
    ]
    for row in raw[:RAW_FILES]:
        branch.add(
            _line(f"raw {escape(row['path'])} {row['digest']} [{_STYLE[row['status']]}]{row['status']}[/]")
        )
    if len(raw) > RAW_FILES:
        branch.add(_line(f"… {len(raw) - RAW_FILES} more raw files (--json lists all)"))


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _origin(node: Mapping[str, Any]) -> str:
    git, run = node["git"], node["run"]
    parts = [
        f"commit {git['commit'][:10]}" if git.get("commit") else "",
        "dirty tree" if git.get("dirty") else "",
    ]
    if run.get("wall_s") is not None:
        parts.append(f"{run['wall_s']:.1f} s")
    if isinstance(run.get("started"), (int, float)):
        parts.append(datetime.datetime.fromtimestamp(run["started"]).strftime("%Y-%m-%d %H:%M"))
    return ", ".join(filter(None, parts))


def _facts(node: Mapping[str, Any], modules: int) -> list[tuple[str, str]]:
    """Returns (title, text) lines of one stage; empty ones left out."""
    environment = node["environment"].get("keyed") or {}
    code = node["code"]
    lines = [
        ("outputs", ", ".join(f"{path} {digest}" for path, digest in node["outs"].items())),
        ("params", _flat(node["params"])),
        (
            "code",
            f"{len(code)} modules: "
            + ", ".join(f"{name} {digest}" for name, digest in list(code.items())[:modules])
            if code
            else "",
        ),
        ("environment", " ".join(f"{name} {version}" for name, version in environment.items())),
        ("metrics", _flat(node["metrics"], METRICS)),
    ]
    return [(title, text) for title, text in lines if text]


def _flat(values: Mapping[str, Any], limit: int | None = None) -> str:
    rows = list(_leaves(values))
    return " ".join(f"{name}={value}" for name, value in rows[:limit]) + (
        f" … {len(rows) - limit} more" if limit and len(rows) > limit else ""
    )


def _leaves(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            leaves += _leaves(value, f"{prefix}{name}.")
        else:
            leaves.append((f"{prefix}{name}", f"{value:.6g}" if isinstance(value, float) else value))
    return leaves
