"""Figures of an update, added up over micro-batches, ranks and optimiser batches: sums with their
denominators, and maxima.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping


class Metrics:
    """Named sums, each with the denominator of its mean, and named maxima. A name is one or the other.

    The order of additions is that of the calls, so that equal calls give equal bits.
    """

    def __init__(self) -> None:
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._denominators: defaultdict[str, float] = defaultdict(float)
        self._maxima: dict[str, float] = {}

    def add(self, name: str, value: float, denominator: float = 1.0) -> None:
        """Add `value` to the sum, and `denominator` to what its mean is taken over: tokens, or batches."""
        self._sums[name] += value
        self._denominators[name] += denominator

    def add_sums(self, sums: Mapping[str, float], denominator: float = 1.0) -> None:
        """`add` of every name."""
        for name, value in sums.items():
            self.add(name, value, denominator)

    def add_maximum(self, name: str, value: float) -> None:
        """Keep the largest value of the name; 0 at least, as of absolute differences."""
        self._maxima[name] = max(self._maxima.get(name, 0.0), value)

    def merge(self, other: Metrics, scale: float = 1.0) -> None:
        """Take in what another accumulator holds, its sums and denominators times `scale`: with a sample of
        the rows, the estimate for all of them. Maxima are not scaled.
        """
        for name, value in other._sums.items():
            self.add(name, value * scale, other._denominators[name] * scale)
        for name, value in other._maxima.items():
            self.add_maximum(name, value)

    def sum(self, name: str) -> float:
        """0 for a name that was never added."""
        return self._sums.get(name, 0.0)

    def sums(self) -> dict[str, float]:
        """Returns all sums, in the order of their first addition."""
        return dict(self._sums)

    def maximum(self, name: str) -> float:
        """0 for a name that was never added."""
        return self._maxima.get(name, 0.0)

    def mean(self, name: str) -> float:
        """Returns the sum over its denominator, or over 1 where that is less, so that 0 tokens give 0."""
        return self._sums.get(name, 0.0) / max(1, self._denominators.get(name, 0.0))

    def means(self) -> dict[str, float]:
        """Returns the means of all sums, in the order of their first addition."""
        return {name: self.mean(name) for name in self._sums}
