"""Compares answers by a number in the assessment's rows: the same result in both orders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.evaluation.wins import AnswerRow, Comparison, Vote


@dataclass(frozen=True)
class ScoredJudge:
    """A judge by `field`, higher is better; a difference of at most `gap` is a tie. A missing score or an
    error verdict is an error.
    """

    name: str
    field: str
    gap: float = 0.0

    def vote(self, comparisons: Sequence[Comparison]) -> list[Vote]:
        return [self._vote(pair) for pair in comparisons]

    def _vote(self, pair: Comparison) -> Vote:
        first, second = self._score(pair.first), self._score(pair.second)
        if first is None or second is None:
            return Vote("error", f"an answer has no {self.field}")
        if abs(first - second) <= self.gap:
            return Vote("tie")
        return Vote("first" if first > second else "second")

    def _score(self, row: AnswerRow) -> float | None:
        value = row.get(self.field)
        usable = (
            isinstance(value, (int, float))
            and math.isfinite(value)
            and (self.field != "score" or row.get("verdict") != "error")
        )
        return float(value) if usable and value is not None else None
