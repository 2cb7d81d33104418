"""Accuracies with their intervals, and the difference of two of them: paired where both models answered the
same questions (pipelines/evaluation/paired.py), else Newcombe's hybrid score interval (1998, method 10),
which takes the two as independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from pipelines.evaluation.paired import paired_difference


@dataclass(frozen=True)
class Accuracy:
    """`right` of `n` answers; `share`, `low` and `high` lie in 0..1 (Wilson, 95 %) and are None when nothing
    was counted. `answers`: question -> the share of its answers that are right, where that is known.
    """

    n: int
    right: int
    errors: int
    share: float | None
    low: float | None
    high: float | None
    answers: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(
        cls, value: Mapping[str, Any] | None, answers: Mapping[str, float] | None = None
    ) -> Accuracy | None:
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
            answers or {},
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


def means_by_question(rows: Iterable[tuple[str, float]]) -> dict[str, float]:
    """rows: a question and the value of an answer to it, for example whether it is right. Returns the mean of
    each question: the share right.
    """
    answers: dict[str, list[float]] = {}
    for question, value in rows:
        answers.setdefault(question, []).append(value)
    return {question: fmean(values) for question, values in answers.items()}


def difference(after: Accuracy | None, before: Accuracy | None) -> AccuracyDifference | None:
    """Returns after - before over the questions that both answered, paired; without such, Newcombe's interval
    for two proportions, from their Wilson limits. None where either is missing.
    """
    if after is None or before is None or after.share is None or before.share is None:
        return None
    if paired := paired_difference(after.answers, before.answers):
        return AccuracyDifference(paired.value, paired.low, paired.high)
    value = after.share - before.share
    below = math.hypot(after.share - (after.low or 0.0), (before.high or 0.0) - before.share)
    above = math.hypot((after.high or 0.0) - after.share, before.share - (before.low or 0.0))
    return AccuracyDifference(value, value - below, value + above)
