"""The side of the split that a problem is on: a hash of its key decides, so that it is stable when rows are
added, removed or reordered.

Near-twins (the same sum about other things) share a key and stay together. Validation is separate from
held-out, so that settings can be chosen without using the problems that are reported.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Side = Literal["train", "validation", "heldout"]


def hash_fraction(text: str) -> float:
    """Returns a number in [0, 1) that depends on `text` alone."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:7], "big") / 2**56


@dataclass(frozen=True)
class Shares:
    """Shares of all keys that are put aside, each in [0, 1), together below 1; the rest is for training."""

    validation: float = 0.0
    heldout: float = 0.0

    def side(self, key: str) -> Side:
        """Returns the side of a key."""
        return self.side_at(hash_fraction("split:" + key))

    def side_at(self, position: float) -> Side:
        """Returns the side of a position in [0, 1)."""
        if position < self.heldout:
            return "heldout"
        return "validation" if position < self.heldout + self.validation else "train"
