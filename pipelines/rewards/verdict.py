"""A verdict has three values. An error (a checker that crashed, an unusable reference) is never silently a
wrong answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["right", "wrong", "error"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`score` is the reward of this response in the checker's own scale; `reason` is one line for people."""

    outcome: Outcome
    score: float
    reason: str = ""


def right(reason: str = "") -> Verdict:
    """Score 1."""
    return Verdict("right", 1.0, reason)


def wrong(reason: str) -> Verdict:
    """Score 0."""
    return Verdict("wrong", 0.0, reason)


def error(reason: str) -> Verdict:
    """No judgement was possible; the score is not used unless the settings count errors as wrong."""
    return Verdict("error", 0.0, reason)
