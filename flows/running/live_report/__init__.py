"""The live report: one page that shows a run while it goes on, written by a process beside it.

It is no output of a stage and does not lie in `reports/`, which is one: a file more would make that stale.
"""

from __future__ import annotations

from pathlib import Path

from flows.workspace import STATE


def location(root: Path) -> Path:
    """Returns where the page of a project lies."""
    return root / STATE / "live.html"
