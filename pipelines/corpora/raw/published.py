"""What the readers of published files share: a loop over the files of each role, in which a row's faults
become ledger entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pipelines.corpora.raw.columns import BadRow
from pipelines.corpora.raw.problem import Problem, Reading, Role
from pipelines.corpora.raw.rows import read_rows
from pipelines.corpora.raw.sources_params import FileSource

MARKER = "#### "
NEW_LINE = "\n"
Convert = Callable[[dict[str, Any], Role], Problem]


def problems(source: FileSource, reading: Reading, convert: Convert) -> Iterator[Problem]:
    """Yields the problems of all files. `convert` makes a problem of a row; where it raises BadRow, the row
    is dropped and recorded with its place.
    """
    for role, file in source.files.items():
        for where, row in read_rows(reading.path(file), reading.ledger):
            try:
                problem = convert(row, role)
            except BadRow as fault:
                reading.ledger.reject(where, str(fault))
            else:
                reading.ledger.accept()
                yield problem


def with_final_line(solution: str, answer: str, append: bool) -> str:
    """Returns the solution, followed where `append` is true by a line of its own that
    `final_answer` reads.
    """
    return (
        f"{solution}{'' if solution.endswith(NEW_LINE) else NEW_LINE}{MARKER}{answer}" if append else solution
    )
