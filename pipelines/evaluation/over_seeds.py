"""Means over runs that differ in their seed alone, with Student's 95 % interval: it holds for new seeds,
where an interval over questions holds for new questions to the same models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtr, stdtrit


@dataclass(frozen=True)
class SeedMean:
    """The mean over `n` seeds; `low` and `high` are None for one seed. `p`: of a mean of 0, two-sided."""

    n: int
    value: float
    low: float | None
    high: float | None
    p: float | None


def mean_over_seeds(values: Sequence[float]) -> SeedMean:
    """Returns the mean with its t interval. ValueError for no values."""
    if not values:
        raise ValueError("there is no mean over no seeds")
    n, mean = len(values), fmean(values)
    if n == 1:
        return SeedMean(1, mean, None, None, None)
    error = stdev(values) / math.sqrt(n)
    half = float(stdtrit(n - 1, 0.975)) * error
    p = 2 * float(stdtr(n - 1, -abs(mean) / error)) if error else float(mean == 0)
    return SeedMean(n, mean, mean - half, mean + half, p)


def difference_over_seeds(after: Mapping[str, float], before: Mapping[str, float]) -> SeedMean | None:
    """after, before: seed -> figure. Returns the mean of after - before over the seeds that both have,
    paired; None where these are fewer than two.
    """
    shared = [seed for seed in before if seed in after]
    return mean_over_seeds([after[seed] - before[seed] for seed in shared]) if len(shared) > 1 else None
