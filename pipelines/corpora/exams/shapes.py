"""The shape of a reference answer: what a rule must be able to read, and what reports are split by."""

from __future__ import annotations

import re

SHAPES = (
    "boolean",
    "number",
    "power_of_ten",
    "number_with_unit",
    "list",
    "latex",
    "chinese",
    "phrase",
    "sentence",
)
BOOLEANS = frozenset(["yes", "no", "true", "false", "maybe", "是", "否", "对", "错"])
NUMBER = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?%?|[-+−]?\d+/\d+")
POWER = re.compile(r"\d\s*(?:\\times|×|[*x])\s*10\s*\^|\d[eE][+-]?\d|^10\^")
UNIT = re.compile(r"\\?\$?[-+−]?[\d,.]+(?:/\d+)?\s*(?:\\[A-Za-z]+|\^\\circ|[A-Za-z%°μµΩÅ$]).*")
CJK = re.compile(r"[㐀-鿿]")
SENTENCE_WORDS = 8


def shape_of(answer: str) -> str:
    """Returns one of SHAPES, by the form of the answer alone."""
    text = answer.strip().strip("$").strip()
    if text.casefold().rstrip(".") in BOOLEANS:
        return "boolean"
    if CJK.search(text):
        return "chinese"
    if NUMBER.fullmatch(text):
        return "number"
    if POWER.search(text) and len(text) < 60:
        return "power_of_ten"
    if re.search(r"[;；]|(?<!\d),|,(?!\d{3}(?!\d))", text) and (
        re.search(r"\d|\\", text) or text[:1] in "([{"
    ):
        return "list"
    if UNIT.fullmatch(text) and len(text.split()) <= 6 and "=" not in text:
        return "number_with_unit"
    if re.search(r"\\[A-Za-z]|\^|=|(?<![A-Za-z])[a-z]\s*[+*/^]", text):
        return "latex"
    return "phrase" if len(text.split()) < SENTENCE_WORDS else "sentence"
