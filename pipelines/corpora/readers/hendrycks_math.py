"""MATH (Hendrycks et al. 2021): problem, level, type and a solution whose last `\\boxed{}` holds the
answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.corpora.raw.columns import BadRow, level, text
from pipelines.corpora.raw.problem import Problem, Reading, Role
from pipelines.corpora.raw.published import problems, with_final_line
from pipelines.corpora.raw.sources_params import FileSource


def read(source: FileSource, reading: Reading) -> Iterator[Problem]:
    """Yields problems of rows `{problem, level, type, solution}`; `Level ?` becomes no level."""

    def convert(row: dict[str, Any], role: Role) -> Problem:
        solution = text(row, "solution")
        answer = last_boxed(solution)
        if not answer:
            raise BadRow("the solution boxes no answer")
        subject = text(row, "type").lower().replace(" ", "_").replace("&", "and")
        return Problem(
            text(row, "problem"),
            answer,
            role,
            subject,
            with_final_line(solution, answer, source.final_line),
            level(text(row, "level")),
        )

    return problems(source, reading, convert)


def last_boxed(solution: str) -> str:
    """Returns the content of the last `\\boxed{...}` or `\\fbox{...}`, its braces matched (`\\boxed 5` holds
    5); empty when there is none.
    """
    start = max(solution.rfind("\\boxed"), solution.rfind("\\fbox"))
    if start < 0:
        return ""
    rest = solution[start:].partition("box")[2].removeprefix("ed")
    if not rest.startswith("{"):
        parts = rest.strip().split("$")[0].split()
        return parts[0] if parts else ""
    depth = 0
    for index, character in enumerate(rest):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return rest[1:index].strip()
    return ""
