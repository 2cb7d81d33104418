"""Accuracy with Wilson's 95 % interval, overall and by any key of the problem."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.evaluation.answers import Answer

Z = 1.959963984540054  # the 97.5 % quantile of the normal distribution


def wilson(right: float, n: int) -> tuple[float, float]:
    """Returns Wilson's 95 % score interval (1927) of `right` in `n`, within [0, 1]; (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    share, square = right / n, Z * Z
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = Z / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return (0.0 if right == 0 else centre - half), (1.0 if right == n else centre + half)


def accuracy(answers: Sequence[Answer], count_errors: bool) -> dict[str, float]:
    """Returns {n, right, errors, accuracy, low, high} of judged answers.

    Errors count as wrong answers if `count_errors`, else they are left out of n. Several answers to one
    problem are not independent: the interval is that of as many answers as there are problems.
    """
    errors = sum(answer.verdict.outcome == "error" for answer in answers)
    judged = [answer for answer in answers if count_errors or answer.verdict.outcome != "error"]
    n, right = len(judged), sum(answer.right for answer in judged)
    share = right / n if n else 0.0
    problems = len({answer.record.id for answer in judged})
    low, high = wilson(share * problems, problems)
    return {"n": n, "right": right, "errors": errors, "accuracy": share, "low": low, "high": high}


def graded(answers: Mapping[str, Sequence[Answer]]) -> bool:
    """Returns whether a judge gave other scores than 1 for right and 0 for wrong."""
    verdicts = (answer.verdict for decoded in answers.values() for answer in decoded)
    return any(verdict.score != (verdict.outcome == "right") for verdict in verdicts)


def mean_score(answers: Sequence[Answer], count_errors: bool) -> float | None:
    """Returns the mean score, on the judge's own scale; errors count as `accuracy` counts them. None for no
    judged answer.
    """
    scores = [a.verdict.score for a in answers if count_errors or a.verdict.outcome != "error"]
    return math.fsum(scores) / len(scores) if scores else None


def by_key(
    greedy: Sequence[Answer], sampled: Sequence[Answer], key: Callable[[Answer], Any], count_errors: bool
) -> dict[str, dict[str, dict[str, float]]]:
    """Returns {value of `key`: {"greedy": …, "sampled": …}} (`accuracy`), sorted; without problems whose key
    is None.
    """
    values = sorted({key(answer) for answer in [*greedy, *sampled]} - {None})
    return {
        str(value): {
            name: accuracy([answer for answer in answers if key(answer) == value], count_errors)
            for name, answers in (("greedy", greedy), ("sampled", sampled))
        }
        for value in values
    }
