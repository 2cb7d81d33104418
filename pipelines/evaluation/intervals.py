"""Shares and means with 95 % intervals, where several values of one prompt are not independent."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from pipelines.evaluation.accuracy import wilson

RESAMPLES = 2000
Array = np.ndarray[Any, np.dtype[np.float64]]


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


def bootstrap(
    columns: Sequence[Array],
    groups: Sequence[Hashable] | None,
    statistic: Callable[[list[Array], Array], Array],
    seed: int,
) -> tuple[float, float]:
    """Returns the middle 95 % of `statistic(sums of each column, number of rows)` over resampled groups.

    columns: each (rows,). `statistic` sees (RESAMPLES,) arrays. The same rows and seed give the same
        interval.
    """
    numbers = {key: place for place, key in enumerate(dict.fromkeys(groups))} if groups is not None else {}
    owner = (
        np.arange(len(columns[0]))
        if groups is None
        else np.fromiter((numbers[key] for key in groups), np.int64)
    )
    size = int(owner.max()) + 1
    totals = [np.bincount(owner, column, size) for column in columns]
    counts = np.bincount(owner, minlength=size).astype(np.float64)
    drawn = (
        np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), RESAMPLES).astype(np.float64)
    )
    # not @: its order of sums depends on BLAS threads
    sums = [np.einsum("rg,g->r", drawn, column) for column in (*totals, counts)]
    low, high = np.quantile(statistic(sums[:-1], sums[-1]), (0.025, 0.975))
    return float(low), float(high)
