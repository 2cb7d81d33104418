"""What a stage's metrics tell the console of a run and `--json`: how many rows it kept and lost, and what it
warns of.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from flows.graph.families import families
from tasks.stage_warnings import warnings_in


def rows_of(root: Path, outs: Iterable[str]) -> dict[str, Any] | None:
    """Returns the record `rows` (pipelines.corpora.records.rows_kept) of a stage's metrics; None for a stage
    that counts none.
    """
    for metrics in _metrics(root, outs):
        rows = metrics.get("rows")
        if isinstance(rows, dict) and {"what", "read", "kept", "lost"} <= set(rows):
            return rows
    return None


def warnings_of(root: Path, outs: Iterable[str]) -> list[str]:
    """Returns the warnings (tasks.stage_warnings) in a stage's metrics."""
    return [warning for metrics in _metrics(root, outs) for warning in warnings_in(metrics)]


def standing_warnings(root: Path, stages: Iterable[str]) -> dict[str, list[str]]:
    """Returns the warnings of the stages that have some, by their names, also of those that did not run now:
    what a fresh result warns of is as true as before.
    """
    outs = {family.name: family.outs for family in families(root)}
    warnings = {}
    for stage in stages:
        kind, _, member = stage.partition("@")
        warnings[stage] = warnings_of(root, (out.replace("${key}", member) for out in outs.get(kind, ())))
    return {stage: texts for stage, texts in warnings.items() if texts}


def _metrics(root: Path, outs: Iterable[str]) -> Iterator[dict[str, Any]]:
    for out in outs:
        if out.startswith("metrics/") and out.endswith(".json"):
            try:
                metrics = json.loads((root / out).read_text("utf-8"))
            except (OSError, ValueError):
                continue  # whoever reads the metrics for their own sake says so
            if isinstance(metrics, dict):
                yield metrics
