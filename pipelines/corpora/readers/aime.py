"""AIME: competition problems whose answer is a whole number from 0 to 999."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.corpora.raw.columns import BadRow, text
from pipelines.corpora.raw.problem import Problem, Reading, Role
from pipelines.corpora.raw.published import problems, with_final_line
from pipelines.corpora.raw.sources_params import FileSource


def read(source: FileSource, reading: Reading) -> Iterator[Problem]:
    """Yields problems of rows `{problem, answer, solution?, year?}`; leading zeros of the answer
    are removed.
    """

    def convert(row: dict[str, Any], role: Role) -> Problem:
        answer = text(row, "answer").strip()
        if not answer.isdecimal() or int(answer) > 999:
            raise BadRow("the answer is not a whole number from 0 to 999")
        answer = str(int(answer))
        solution = row.get("solution")
        demonstration = (
            with_final_line(solution, answer, source.final_line)
            if isinstance(solution, str) and solution.strip()
            else None
        )
        meta = {"year": row["year"]} if isinstance(row.get("year"), int) else {}
        return Problem(text(row, "problem"), answer, role, reading.name, demonstration, meta=meta)

    return problems(source, reading, convert)
