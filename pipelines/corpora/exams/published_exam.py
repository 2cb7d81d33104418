"""What the readers of published exams share: a loop over the rows of all files, in which faults become ledger
entries, and the indices of option letters.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pipelines.corpora.exams.item import ExamItem
from pipelines.corpora.raw.columns import BadRow
from pipelines.corpora.raw.problem import Reading
from pipelines.corpora.raw.rows import read_rows

Convert = Callable[[Mapping[str, Any]], ExamItem]
LETTERS = "ABCDEFGHIJ"


def items(reading: Reading, files: Sequence[str], convert: Convert) -> Iterator[ExamItem]:
    """Yields the items of all files. `files`: patterns below the source's folder, read in this order.
    `convert` makes an item of a row, or raises BadRow. Raises FileNotFoundError when no file matches.
    """
    paths = (
        [path for file in files for path in sorted(reading.root.glob(file))]
        if reading.root.is_dir()
        else [reading.root]
    )
    for path in paths or [reading.path(files[-1])]:
        for where, row in read_rows(path, reading.ledger):
            try:
                item = convert(row)
            except BadRow as fault:
                reading.ledger.reject(where, str(fault))
            else:
                reading.ledger.accept()
                yield item


def letter_index(letter: Any) -> int | None:
    """Returns 2 for `C`, `(C)` or `["C"]`; None for several letters or none."""
    if isinstance(letter, list):
        letter = letter[0] if len(letter) == 1 else ""
    match = re.fullmatch(r"\s*\(?([A-J])\)?\s*", str(letter or ""))
    return LETTERS.index(match[1]) if match else None


def parse_literal(value: Any) -> Any:
    """Returns the value of a Python literal that the publisher wrote as text (`"['9.6\\n']"`); other values
    unchanged.
    """
    if not isinstance(value, str) or value[:1] not in "[{(":
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value
