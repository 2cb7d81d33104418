"""Any table: a Hugging Face dataset by id and pinned revision, or local JSONL, CSV and Parquet files, by a
mapping of columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pipelines.corpora.raw.columns import BadRow, cell, level, plain, text
from pipelines.corpora.raw.dialogue import conversation, prompt_turns, without_shared_turns
from pipelines.corpora.raw.problem import Problem, Reading, Role
from pipelines.corpora.raw.tables import table_rows
from pipelines.corpora.readers.options import TableSource
from pipelines.models.conversation import Conversation


def read(source: TableSource, reading: Reading) -> Iterator[Problem]:
    """Yields problems of every split named. Raises OSError, naming the way out, when a dataset is neither
    cached nor reachable.
    """
    for role, split in source.splits.items():
        yield from without_shared_turns(_problems(source, reading, role, split))


def _problems(source: TableSource, reading: Reading, role: Role, split: str) -> Iterator[Problem]:
    for where, row in table_rows(source, reading, split):
        try:
            problem = replace(_problem(source, reading, row, role), where=where)
        except BadRow as fault:
            reading.ledger.reject(where, str(fault))
        else:
            reading.ledger.accept()
            yield problem


def _problem(source: TableSource, reading: Reading, row: Mapping[str, Any], role: Role) -> Problem:
    columns = source.columns
    answer = "" if columns.answer is None else text(row, columns.answer)
    solution = None if columns.solution is None else text(row, columns.solution)
    if source.answer_after is not None:
        working, mark, answer_part = answer.rpartition(source.answer_after)
        if not mark or not answer_part.strip():
            raise BadRow(f"{columns.answer} has nothing after {source.answer_after!r}")
        if solution is None and working.strip():
            solution = answer
        answer = answer_part.strip()
    turns = _turns(row, columns.question, solution) if isinstance(cell(row, columns.question), list) else None
    return Problem(
        question=text(row, columns.question) if turns is None else turns.transcript,
        answer=answer,
        role=role,
        subject=reading.name if columns.subject is None else text(row, columns.subject),
        solution=solution,
        level=None if columns.level is None else level(text(row, columns.level)),
        key="" if columns.key is None else text(row, columns.key),
        meta=_kept(source, row),
        conversation=turns,
    )


def _kept(source: TableSource, row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the columns that rewards of the user's own read by their own names, the answer's among them
    where it is called otherwise.
    """
    answer = source.columns.answer
    own = answer is not None and answer != "answer" and "." not in answer
    names = [*([str(answer)] if own else []), *source.keep]
    return {"columns": {name: plain(row, name) for name in dict.fromkeys(names)}} if names else {}


def _turns(row: Mapping[str, Any], column: str, solution: str | None) -> Conversation:
    prompt = conversation(prompt_turns(row, column), column, row.get("tools"))
    return prompt if solution is None else prompt.answer(solution)
