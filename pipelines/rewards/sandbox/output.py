"""Compares printed output with the expected one: line by line without trailing spaces, decimal numbers within
a small tolerance.
"""

from __future__ import annotations

import math
import re

RELATIVE, ABSOLUTE = 1e-6, 1e-9
LONGEST_NUMBER = 400  # characters
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
# 0e5 is a word: no language prints it
ROUNDED = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?\d+[eE][+-]\d+", re.ASCII)


def same_output(said: bytes, expected: str) -> bool:
    """Whether the output `said` is the expected one. Output that is not UTF-8 never is. Blank lines count,
    except at the end; letter case counts.
    """
    try:
        given = _lines(said.decode("utf-8"))
    except UnicodeDecodeError:
        return False
    wanted = _lines(expected)
    return len(given) == len(wanted) and all(_same_line(*pair) for pair in zip(given, wanted, strict=True))


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _same_line(given: str, wanted: str) -> bool:
    if given == wanted:
        return True
    pairs = given.split(), wanted.split()
    return len(pairs[0]) == len(pairs[1]) and all(_same_token(*pair) for pair in zip(*pairs, strict=True))


def _same_token(given: str, wanted: str) -> bool:
    """Whether two words are equal. Integers are compared as text: only expected decimals are
    rounded values.
    """
    if given == wanted:
        return True
    if max(len(given), len(wanted)) > LONGEST_NUMBER or not (
        ROUNDED.fullmatch(wanted) and NUMBER.fullmatch(given)
    ):
        return False
    return math.isclose(float(given), float(wanted), rel_tol=RELATIVE, abs_tol=ABSOLUTE)
