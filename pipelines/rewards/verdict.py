"""Verdicts: right, wrong, or error. An error (an exception, an unusable reference) never counts silently as a
wrong answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

VerdictOutcome = Literal["right", "wrong", "error"]
# the reason of an error that is none of the checker's: a reward for other questions than this one
NOT_APPLICABLE = "the reward does not apply to this question"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one response. `score`: its reward, on the judge's own scale; `reason`: one line of
    text; `parts`: figures that the score was made of, by name, of which the metrics hold the means.
    """

    outcome: VerdictOutcome
    score: float
    reason: str = ""
    parts: tuple[tuple[str, float], ...] = ()


def right(reason: str = "") -> Verdict:
    """Returns a right verdict with score 1."""
    return Verdict("right", 1.0, reason)


def wrong(reason: str) -> Verdict:
    """Returns a wrong verdict with score 0."""
    return Verdict("wrong", 0.0, reason)


def error(reason: str) -> Verdict:
    """Returns a verdict on a response that cannot be judged. Score 0, used only where the settings count
    errors as wrong.
    """
    return Verdict("error", 0.0, reason)


def applies(verdict: Verdict) -> bool:
    """Returns whether the reward has anything to say of the question. Where it has not, its verdict is an
    error that no limit counts.
    """
    return verdict.reason != NOT_APPLICABLE
