"""Reads the JSON files that the report is made of. Errors name the file and the stage that makes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def read_object(path: Path, stage: str) -> Row:
    """Returns the JSON object in `path`. Raises FileNotFoundError where there is no file, ValueError where it
    holds no object.
    """
    try:
        value = json.loads(_text(path, stage))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}: not JSON ({error}); make it again: `whetstone run --force {stage}`"
        ) from None
    if not isinstance(value, dict):
        raise ValueError(
            f"{path}: holds a {type(value).__name__} where an object belongs; make it again: `whetstone run "
            f"--force {stage}`"
        )
    return value


def read_rows(path: Path, stage: str) -> list[Row]:
    """Returns the JSON objects in `path`, one per line that is not blank. Raises as `read_object` does,
    naming the line.
    """
    rows = []
    for number, line in enumerate(_text(path, stage).split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path}:{number}: not JSON ({error}); make it again: `whetstone run --force {stage}`"
            ) from None
    return rows


def _text(path: Path, stage: str) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: missing; the stage {stage} makes it: `whetstone run {stage}`"
        ) from None
