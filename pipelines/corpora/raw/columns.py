"""Read a text, a flag or a number from a column of a raw row; an error names the column and what it holds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pipelines.models.tokenizer import LONE_SURROGATE

NUMBER = re.compile(r"[-+]?(\d[\d,]*(\.\d*)?|\.\d+)")
DIGITS = re.compile(r"\d+")
TRUTHS = {1: True, "1": True, "true": True, 0: False, "0": False, "false": False}


class BadRow(ValueError):
    """A row that cannot be used. Its text is the reason, the same for all rows with the same fault."""


def text(row: Mapping[str, Any], column: str, empty: bool = False) -> str:
    """Returns the text of a column. A dot goes into nested objects. Raises BadRow when it is missing, of
    another type, or empty and not allowed to be.
    """
    value: Any = row
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise BadRow(f"no column {column}")
        value = value[part]
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise BadRow(f"{column} is {type(value).__name__}, not text")
    if isinstance(value, (float, Decimal)) and not math.isfinite(value):  # what pandas writes for no value
        raise BadRow(f"{column} is {value}, not text")
    value_text = str(value)
    if not value_text.strip() and not empty:
        raise BadRow(f"{column} is empty")
    return value_text


def cell(row: Mapping[str, Any], column: str) -> Any:
    """Returns the value of a column; None where it is missing. A dot goes into nested objects."""
    value: Any = row
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def plain(row: Mapping[str, Any], column: str) -> Any:
    """Returns the value of a column as JSON holds it: text, a number, true, false, null (also for what is
    missing and no number), lists and objects of these. Raises BadRow for anything else.
    """
    return _plain(cell(row, column), column)


def _plain(value: Any, column: str) -> Any:
    if isinstance(value, str) and LONE_SURROGATE.search(value):
        raise BadRow(f"{column} holds half of a character, which no encoding has")
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [_plain(item, column) for item in value]
    if isinstance(value, Mapping):
        return {str(_plain(key, column)): _plain(item, column) for key, item in value.items()}
    raise BadRow(f"{column} is {type(value).__name__}, which no JSON holds")


def truth(value: Any) -> bool | None:
    """Returns what a value says as true or false, 1 or 0, or one of these as text (of a CSV file); None for
    anything else.
    """
    said = value.strip().lower() if isinstance(value, str) else value
    return TRUTHS.get(said) if isinstance(said, (str, bool, int, float)) else None


def flag(row: Mapping[str, Any], column: str) -> bool:
    """Returns a column that must hold true or false. Raises BadRow, naming it and what it holds instead."""
    if not isinstance(row.get(column), bool):
        raise BadRow(f"{column} is {_shown(row, column)}, not true or false")
    return bool(row[column])


def one_of(row: Mapping[str, Any], column: str, allowed: Sequence[Any]) -> Any:
    """Returns a column that must hold one of `allowed`, which are of one type. Raises BadRow, naming it and
    what it holds instead.
    """
    value = row.get(column)
    if type(value) is not type(allowed[0]) or value not in allowed:
        raise BadRow(f"{column} is {_shown(row, column)}, not one of {', '.join(map(str, allowed))}")
    return value


def _shown(row: Mapping[str, Any], column: str) -> str:
    return repr(row[column])[:40] if column in row else "missing"


def number(written: str) -> str:
    """Returns a plain decimal number without thousands commas, currency sign, or empty fraction (`67,082.0`
    -> `67082`). Raises BadRow where the text is no number.
    """
    digits = written.strip().lstrip("$").strip()
    if not NUMBER.fullmatch(digits):
        raise BadRow("the answer is not a number")
    digits = digits.replace(",", "").lstrip("+")
    return (digits.rstrip("0").rstrip(".") or "0") if "." in digits else digits


def level(written: str) -> int | None:
    """Returns the first whole number in the text (`Level 5` -> 5); None without one (`Level ?`)."""
    match = DIGITS.search(written)
    return int(match.group()) if match else None
