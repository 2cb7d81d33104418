"""From the probabilities of the two labels to a reward, in its three forms (reward_bridge.md 3.1, 2.2)."""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Literal, NamedTuple

Form = Literal["binary", "soft", "paper"]


class LabelProbabilities(NamedTuple):
    """Probabilities of the labels over the whole vocabulary at the first generated position, summed over
    spellings; NaN where the logits are not finite.
    """

    positive: float
    negative: float

    @property
    def leak(self) -> float:
        """The probability of all other tokens, in 0..1."""
        return max(0.0, 1.0 - self.positive - self.negative)

    @property
    def finite(self) -> bool:
        return math.isfinite(self.positive) and math.isfinite(self.negative)


def soft_reward(reading: LabelProbabilities, temperature: float = 1.0) -> float:
    """Returns P1 / (P1 + P0) in 0..1, with the log-odds divided by the fitted `temperature`; 0 where both are
    0 (reward_bridge.md 9.1 to 9.3).
    """
    if reading.positive <= 0:
        return 0.0
    if reading.negative <= 0:
        return 1.0
    odds = (math.log(reading.positive) - math.log(reading.negative)) / temperature
    return 1 / (1 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1 + math.exp(odds))


def paper_reward(reading: LabelProbabilities, label: int | None) -> float:
    """Returns the paper's equation 4 for a sampled label: P1 for 1, 1 - P0 for 0, 0 for None. With leak, a 0
    may be rewarded more than a 1.
    """
    return 0.0 if label is None else reading.positive if label else 1 - reading.negative


def reward_of(reading: LabelProbabilities, form: Form, temperature: float = 1.0) -> float:
    """Returns the reward in 0..1: `binary` 1 iff P1 > P0, `soft` the normalised probability, `paper` equation
    4 for the likelier label.
    """
    if form == "soft":
        return soft_reward(reading, temperature)
    label = int(reading.positive > reading.negative)
    return float(label) if form == "binary" else paper_reward(reading, label)


def majority(yes: int, votes: int) -> int:
    """Returns 1 iff at least half of `votes` (>= 1) are yes: a tie counts as correct (reward_bridge.md 2.2,
    9.17).
    """
    return int(2 * yes >= votes)


def count_votes(probability: float, votes: int, name: str) -> int:
    """Returns how many of `votes` Bernoulli draws with `probability` are 1. The draws are hashes of `name`
    and their index, so that they repeat.
    """
    draws = (
        int.from_bytes(
            blake2b(f"{name}\x00{vote}".encode("utf-8", "replace"), digest_size=7).digest(), "little"
        )
        for vote in range(votes)
    )
    return sum(draw < probability * 2.0**56 for draw in draws)
