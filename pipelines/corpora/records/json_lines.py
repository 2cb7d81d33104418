"""Rows of our own JSON Lines files as closed, strict records: a row of another form means damage, and is
named.

Pydantic reads and checks a row faster than `json` with checks written by hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

STRICT = ConfigDict(strict=True, extra="forbid")
Text = Annotated[str, Field(min_length=1)]
TokenIds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]

R = TypeVar("R")


def read_json_lines(path: str | Path, record: type[R], remedy: str) -> list[R]:
    """Returns all rows, in order. Raises ValueError, naming file, line, key and reason: a damaged file must
    be restored, not trained on; `remedy` says how.
    """
    adapter = TypeAdapter(record)
    rows = []
    with open(path, "rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                rows.append(adapter.validate_json(line))
            except ValidationError as error:
                raise ValueError(
                    f"{path}:{number}: {first_fault(error)}; the file is damaged, {remedy}"
                ) from error
    return rows


def first_fault(error: ValidationError) -> str:
    """Returns the first error as one line: `prompt_ids.3: Input should be a valid integer`."""
    fault: Any = error.errors(include_url=False, include_context=False)[0]
    key = ".".join(map(str, fault["loc"]))
    return f"{key}: {fault['msg']}" if key else str(fault["msg"])
