"""Shares and means with 95 % intervals, where several values of one prompt are not independent."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

from pipelines.evaluation.accuracy import wilson
from pipelines.evaluation.bootstrap import bootstrap


def share_of(right: Sequence[float], groups: Sequence[Hashable] | None = None) -> dict[str, float]:
    """Values in 0..1 -> {n, right, share, low, high}: Wilson's interval, for as many draws as there are
    distinct `groups`.

    A value may be a half (a tie). Nothing counted: share 0, interval (0, 1).
    """
    n, total = len(right), math.fsum(right)
    draws = n if groups is None else len(set(groups))
    share = total / n if n else 0.0
    low, high = wilson(share * draws, draws)
    return {
        "n": n,
        "right": int(total) if float(total).is_integer() else total,
        "share": share,
        "low": low,
        "high": high,
    }


def mean_of(
    values: Sequence[float], groups: Sequence[Hashable] | None = None, seed: int = 0
) -> dict[str, float | None]:
    """Returns {n, mean, low, high} with the percentile bootstrap over `groups` (each value its own where
    None); all but n are None for no values.

    ValueError for a value that is not finite: a mean over it would say nothing.
    """
    if not len(values):
        return {"n": 0, "mean": None, "low": None, "high": None}
    column = np.asarray(values, np.float64)
    if not np.isfinite(column).all():
        raise ValueError(
            f"value {int(np.flatnonzero(~np.isfinite(column))[0])} of {len(column)} is not finite; a mean of "
            f"it has no meaning"
        )
    low, high = bootstrap([column], groups, lambda sums, counts: sums[0] / counts, seed)
    return {"n": len(column), "mean": float(column.mean()), "low": low, "high": high}
