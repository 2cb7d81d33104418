"""The percentile bootstrap over groups of rows that are not independent."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

RESAMPLES = 2000
Array = np.ndarray[Any, np.dtype[np.float64]]


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
