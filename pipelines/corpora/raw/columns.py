"""Take a text or a whole number out of a raw row; a fault names the column and what was there instead."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

NUMBER = re.compile(r"[-+]?(\d[\d,]*(\.\d*)?|\.\d+)")
DIGITS = re.compile(r"\d+")


class BadRow(ValueError):
    """A row that cannot be used; its text is the reason, the same for all rows with the same fault."""


def text(row: Mapping[str, Any], column: str, empty: bool = False) -> str:
    """A column that must hold text. A dot goes into nested objects. BadRow when it is missing, of another
    type, or empty and not allowed to be.
    """
    value: Any = row
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise BadRow(f"no column {column}")
        value = value[part]
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise BadRow(f"{column} is {type(value).__name__}, not text")
    found = str(value)
    if not found.strip() and not empty:
        raise BadRow(f"{column} is empty")
    return found


def cell(row: Mapping[str, Any], column: str) -> Any:
    """What a column holds; None where it is missing. A dot goes into nested objects."""
    value: Any = row
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def flag(row: Mapping[str, Any], column: str) -> bool:
    """A column that must hold true or false. BadRow names it and what it holds instead."""
    if not isinstance(row.get(column), bool):
        raise BadRow(f"{column} is {_shown(row, column)}, not true or false")
    return bool(row[column])


def one_of(row: Mapping[str, Any], column: str, allowed: Sequence[Any]) -> Any:
    """A column that must hold one of `allowed`, which are of one type. BadRow names it and what it holds
    instead.
    """
    found = row.get(column)
    if type(found) is not type(allowed[0]) or found not in allowed:
        raise BadRow(f"{column} is {_shown(row, column)}, not one of {', '.join(map(str, allowed))}")
    return found


def _shown(row: Mapping[str, Any], column: str) -> str:
    return repr(row[column])[:40] if column in row else "missing"


def number(found: str) -> str:
    """A plain decimal number without thousands commas, currency sign, or empty fraction (`67,082.0` ->
    `67082`). BadRow if it is none.
    """
    bare = found.strip().lstrip("$").strip()
    if not NUMBER.fullmatch(bare):
        raise BadRow("the answer is not a number")
    bare = bare.replace(",", "").lstrip("+")
    return (bare.rstrip("0").rstrip(".") or "0") if "." in bare else bare


def level(found: str) -> int | None:
    """The first whole number in the text (`Level 5` -> 5); None without one (`Level ?`)."""
    match = DIGITS.search(found)
    return int(match.group()) if match else None
