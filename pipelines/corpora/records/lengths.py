"""Statistics of lengths for the metrics."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def length_statistics(lengths: Sequence[int]) -> dict[str, float]:
    """Returns mean, 95th percentile and maximum; zeros for an empty sequence."""
    if not lengths:
        return {"mean": 0.0, "p95": 0, "max": 0}
    ordered = sorted(lengths)
    return {
        "mean": round(statistics.fmean(ordered), 2),
        "p95": ordered[int(0.95 * (len(ordered) - 1))],
        "max": ordered[-1],
    }
