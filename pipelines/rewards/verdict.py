"""Verdicts: right, wrong, or error. An error (an exception, an unusable reference) never counts silently as a
wrong answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

VerdictOutcome = Literal["right", "wrong", "error"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one response. `score`: its reward, on the judge's own scale; `reason`: one line of
    text.
    """

    outcome: VerdictOutcome
    score: float
    reason: str = ""


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
