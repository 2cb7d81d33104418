"""How many rows a stage kept and lost, from the metrics among its outputs: for the console of a run, and for
`--json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def rows_of(root: Path, outs: Iterable[str]) -> dict[str, Any] | None:
    """Returns the record `rows` (pipelines.corpora.records.rows_kept) of a stage's metrics; None for a stage
    that counts none.
    """
    for out in outs:
        if out.startswith("metrics/") and out.endswith(".json"):
            try:
                metrics = json.loads((root / out).read_text("utf-8"))
            except (OSError, ValueError):
                continue  # whoever reads the metrics for their own sake says so
            rows = metrics.get("rows") if isinstance(metrics, dict) else None
            if isinstance(rows, dict) and {"what", "read", "kept", "lost"} <= set(rows):
                return rows
    return None
