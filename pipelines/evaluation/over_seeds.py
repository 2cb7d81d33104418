"""Means over runs that differ in their seed alone, with Student's 95 % interval: it holds for new seeds,
where an interval over questions holds for new questions to the same models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtr, stdtrit

EQUAL = 12  # decimals: figures are shares of counts, and their differences are off by a float's last bits


@dataclass(frozen=True)
class SeedMean:
    """The mean over `n` seeds. `low`, `high`, and the two-sided `p` of a mean of 0 are None where no spread
    shows: for one seed, and for equal figures, from which t would conclude that every seed gives them.
    """

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
    if len({round(value, EQUAL) for value in values}) == 1:
        return SeedMean(n, mean, None, None, None)
    error = stdev(values) / math.sqrt(n)
    half = float(stdtrit(n - 1, 0.975)) * error
    return SeedMean(n, mean, mean - half, mean + half, 2 * float(stdtr(n - 1, -abs(mean) / error)))


def difference_over_seeds(after: Mapping[str, float], before: Mapping[str, float]) -> SeedMean | None:
    """after, before: seed -> figure. Returns the mean of after - before over the seeds that both have,
    paired; None where these are fewer than two.
    """
    shared = [seed for seed in before if seed in after]
    return mean_over_seeds([after[seed] - before[seed] for seed in shared]) if len(shared) > 1 else None
