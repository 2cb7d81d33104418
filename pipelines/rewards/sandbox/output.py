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


def same_output(output: bytes, expected: str) -> bool:
    """Returns whether the output `output` is the expected one. Output that is not UTF-8 never is. Blank lines
    count, except at the end; letter case counts.
    """
    try:
        lines = _lines(output.decode("utf-8"))
    except UnicodeDecodeError:
        return False
    expected_lines = _lines(expected)
    return len(lines) == len(expected_lines) and all(
        _same_line(*pair) for pair in zip(lines, expected_lines, strict=True)
    )


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _same_line(line: str, expected: str) -> bool:
    if line == expected:
        return True
    pairs = line.split(), expected.split()
    return len(pairs[0]) == len(pairs[1]) and all(_same_token(*pair) for pair in zip(*pairs, strict=True))


def _same_token(token: str, expected: str) -> bool:
    """Returns whether two words are equal. Integers are compared as text: only expected decimals are rounded
    values.
    """
    if token == expected:
        return True
    if max(len(token), len(expected)) > LONGEST_NUMBER or not (
        ROUNDED.fullmatch(expected) and NUMBER.fullmatch(token)
    ):
        return False
    return math.isclose(float(token), float(expected), rel_tol=RELATIVE, abs_tol=ABSOLUTE)
