"""Differences of two models that answered the same questions: paired intervals and tests.

Two models tend to be right on the same questions, so an interval that takes their answers as independent is
too wide. Where an answer is right or wrong, only the questions on which the two differ count: Tango's score
interval (1998, Statistics in Medicine 17, 891-908), and McNemar's exact test (1947). Where each question has
a mean over several answers, the questions are resampled, and the signs of their differences are flipped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import bdtr

from pipelines.evaluation.bootstrap import bootstrap

Z = 1.959963984540054  # the 97.5 % quantile of the normal distribution
FLIPS = 10_000
TANGO, BOOTSTRAP = "tango", "bootstrap"


@dataclass(frozen=True)
class PairedDifference:
    """after - before over `n` questions, with its 95 % interval (all in -1..1 for shares), by `method`.

    `p` of no difference, two-sided; `gained` and `lost`: questions on which only the one after, or before, is
    better.
    """

    n: int
    value: float
    low: float
    high: float
    p: float
    gained: int
    lost: int
    method: str


def paired_difference(after: Mapping[str, float], before: Mapping[str, float]) -> PairedDifference | None:
    """after, before: question -> value (right or wrong as 1 or 0, or a mean over answers). Returns their
    difference over the questions that both have; None where they share none.
    """
    shared = [key for key in before if key in after]
    if not shared:
        return None
    differences = np.array([after[key] - before[key] for key in shared], np.float64)
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    value = float(differences.mean())
    if all(values[key] in (0, 1) for values in (after, before) for key in shared):
        low, high = tango(gained, lost, len(shared))
        return PairedDifference(len(shared), value, low, high, mcnemar(gained, lost), gained, lost, TANGO)
    low, high = bootstrap([differences], None, lambda sums, counts: sums[0] / counts, 0)
    return PairedDifference(
        len(shared), value, low, high, flipped_signs(differences), gained, lost, BOOTSTRAP
    )


def tango(gained: int, lost: int, n: int) -> tuple[float, float]:
    """Returns Tango's 95 % interval of (gained - lost) / n: the differences that the score test does not
    reject. Within [-1, 1].
    """
    estimate = (gained - lost) / n
    return (
        _crossing(gained, lost, n, -1.0, estimate, Z),
        _crossing(gained, lost, n, estimate, 1.0, -Z),
    )


def _crossing(gained: int, lost: int, n: int, low: float, high: float, score: float) -> float:
    """Returns where the score, which falls from `low` to `high`, passes a value."""
    for _ in range(60):  # halves an interval of 2 to less than a float's step
        middle = (low + high) / 2
        low, high = (middle, high) if _score(gained, lost, n, middle) > score else (low, middle)
    return (low + high) / 2


def _score(gained: int, lost: int, n: int, delta: float) -> float:
    """Returns the standardised score of a difference `delta` (Tango 1998, equations 5 and 6): the probability
    of a lost question is its maximum-likelihood estimate under that difference.
    """
    middle = (2 * n - gained + lost) * delta - gained - lost
    root = math.sqrt(max(middle**2 + 8 * n * lost * delta * (1 - delta), 0.0))
    variance = n * ((root - middle) / (2 * n) + delta * (1 - delta))
    distance = gained - lost - n * delta
    if variance <= 0:  # at an end, where one outcome alone is possible
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def mcnemar(gained: int, lost: int) -> float:
    """Returns the two-sided p of McNemar's exact test: that of a fair coin for the questions that differ."""
    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def flipped_signs(differences: np.ndarray[Any, Any], seed: int = 0) -> float:
    """Returns the two-sided p of Fisher's randomisation test (1935): how often a mean is as far from 0 when
    every question's difference, (n,), has a random sign. The same input and seed give the same p.
    """
    draw = np.random.default_rng(seed)
    observed, as_far = abs(float(differences.sum())), 0
    for _ in range(FLIPS // 100):  # in blocks: n may be large
        signs = draw.integers(0, 2, (100, len(differences))) * 2.0 - 1.0
        # not @: its order of sums depends on BLAS threads
        sums = np.einsum("rg,g->r", signs, differences)
        as_far += int((np.abs(sums) >= observed - 1e-12).sum())
    return (as_far + 1) / (FLIPS + 1)
