"""Accuracies with their intervals, and the difference of two of them by Newcombe's hybrid score interval
(1998, method 10).

It combines the two Wilson intervals, and keeps its coverage for small counts and rates near 0 or 1. It treats
the samples as independent although both models answer the same problems, so it is wider than a paired
interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Accuracy:
    """`right` of `n` answers; `share`, `low` and `high` lie in 0..1 (Wilson, 95 %) and are None when nothing
    was counted.
    """

    n: int
    right: int
    errors: int
    share: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, value: Mapping[str, Any] | None) -> Accuracy | None:
        """Returns the accuracy of an evaluation's metrics; None for None."""
        if value is None:
            return None
        share = value["accuracy"] if value["n"] else None
        return cls(
            value["n"],
            value["right"],
            value.get("errors", 0),
            share,
            value["low"] if value["n"] else None,
            value["high"],
        )


@dataclass(frozen=True)
class AccuracyDifference:
    """after - before, with its 95 % interval; all in -1..1."""

    value: float
    low: float
    high: float

    @property
    def reading(self) -> str:
        """The conclusion from the interval: better, worse, or not told apart."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "not told apart"


def difference(after: Accuracy | None, before: Accuracy | None) -> AccuracyDifference | None:
    """Returns Newcombe's interval for two proportions, from their Wilson limits; None where either is
    missing.
    """
    if after is None or before is None or after.share is None or before.share is None:
        return None
    value = after.share - before.share
    below = math.hypot(after.share - (after.low or 0.0), (before.high or 0.0) - before.share)
    above = math.hypot((after.high or 0.0) - after.share, before.share - (before.low or 0.0))
    return AccuracyDifference(value, value - below, value + above)
