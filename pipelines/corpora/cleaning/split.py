"""Which side of the split a problem lies on: a hash of its key decides, so it is stable when rows are added,
dropped or reordered.

Near-twins (the same sum about other things) share a key and stay together; validation lies apart from
held-out, so that settings can be chosen without touching the problems that are reported.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Side = Literal["train", "validation", "heldout"]


def fraction(text: str) -> float:
    """A number in [0, 1) that depends on nothing but `text`."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:7], "big") / 2**56


@dataclass(frozen=True)
class Shares:
    """Shares of all keys that are put aside, each in [0, 1), together below 1; the rest is for training."""

    validation: float = 0.0
    heldout: float = 0.0

    def side(self, key: str) -> Side:
        return self.at(fraction("split:" + key))

    def at(self, place: float) -> Side:
        """The side of a place in [0, 1)."""
        if place < self.heldout:
            return "heldout"
        return "validation" if place < self.heldout + self.validation else "train"
