"""What the readers of published exams share: rows of all files of the source, faults to the ledger, letters
to places.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pipelines.corpora.exams.item import Item
from pipelines.corpora.raw.columns import BadRow
from pipelines.corpora.raw.problem import Reading
from pipelines.corpora.raw.rows import read_rows

Convert = Callable[[Mapping[str, Any]], Item]
LETTERS = "ABCDEFGHIJ"


def items(reading: Reading, files: Sequence[str], convert: Convert) -> Iterator[Item]:
    """`files` are patterns below the source's folder, read in this order. FileNotFoundError when none of them
    matches anything.
    """
    found = (
        [path for file in files for path in sorted(reading.root.glob(file))]
        if reading.root.is_dir()
        else [reading.root]
    )
    for path in found or [reading.path(files[-1])]:
        for where, row in read_rows(path, reading.ledger):
            try:
                item = convert(row)
            except BadRow as fault:
                reading.ledger.reject(where, str(fault))
            else:
                reading.ledger.accept()
                yield item


def place(letter: Any) -> int | None:
    """`C`, `(C)` or `["C"]` -> 2; None for several letters or none."""
    if isinstance(letter, list):
        letter = letter[0] if len(letter) == 1 else ""
    found = re.fullmatch(r"\s*\(?([A-J])\)?\s*", str(letter or ""))
    return LETTERS.index(found[1]) if found else None


def literal(value: Any) -> Any:
    """Values that the publisher wrote as Python text (`"['9.6\\n']"`) -> what they say; others as they
    are.
    """
    if not isinstance(value, str) or value[:1] not in "[{(":
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value
