"""Any table: a Hugging Face dataset by id and pinned revision, or local JSONL, CSV and Parquet files, by a mapping of columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.columns import BadRow, level, text
from pipelines.corpora.problem import Problem, Reading, Role
from pipelines.corpora.sources_params import TableSource
from pipelines.corpora.tables import table_rows


def read(source: TableSource, reading: Reading) -> Iterator[Problem]:
    """Problems of every split named. OSError with the way out when a dataset is neither cached nor reachable."""
    for role, split in source.splits.items():
        for where, row in table_rows(source, reading, split):
            try:
                problem = _problem(source, reading, row, role)
            except BadRow as fault:
                reading.ledger.reject(where, str(fault))
            else:
                reading.ledger.accept()
                yield problem


def _problem(source: TableSource, reading: Reading, row: Mapping[str, Any], role: Role) -> Problem:
    columns = source.columns
    answer = text(row, columns.answer)
    solution = None if columns.solution is None else text(row, columns.solution)
    if source.answer_after is not None:
        before, mark, answer_part = answer.rpartition(source.answer_after)
        if not mark or not answer_part.strip():
            raise BadRow(f"{columns.answer} has nothing after {source.answer_after!r}")
        if solution is None and before.strip():
            solution = answer
        answer = answer_part.strip()
    return Problem(
        question=text(row, columns.question),
        answer=answer,
        role=role,
        subject=reading.name if columns.subject is None else text(row, columns.subject),
        solution=solution,
        level=None if columns.level is None else level(text(row, columns.level)),
        key="" if columns.key is None else text(row, columns.key),
    )
