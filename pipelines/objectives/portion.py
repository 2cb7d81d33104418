"""Shares of a count, exact in decimals: `0.07 * 100` is 7.000000000000001 in floats, and its ceiling one too
many.
"""

from __future__ import annotations

import math
from fractions import Fraction


def portion_up(share: float, count: int) -> int:
    """ceil(share * count) for the share as it is written."""
    return math.ceil(Fraction(repr(float(share))) * count)


def portion_down(share: float, count: int) -> int:
    """floor(share * count) for the share as it is written."""
    return math.floor(Fraction(repr(float(share))) * count)


def complement(share: float) -> float:
    """1 - share as it is written: .2 for .8, where floats give .19999999999999996."""
    return float(1 - Fraction(repr(float(share))))
