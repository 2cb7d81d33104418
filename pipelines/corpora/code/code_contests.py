"""CodeContests (Li et al. 2022) as `deepmind/code_contests` has it; Python 3 solutions only (dpo_vs_ppo.md
1.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.corpora.code.code_problem import CodeProblem
from pipelines.corpora.raw.columns import BadRow, text

PYTHON3 = (3, "PYTHON3")


def convert(row: Mapping[str, Any], source: str) -> CodeProblem:
    """Converts a row `{name, description, public_tests, private_tests, generated_tests, solutions,
    incorrect_solutions, difficulty}` with tests `{input: [], output: []}` and solutions `{language: [],
    solution: []}`. Private and generated tests are hidden. Raises BadRow.
    """
    if row.get("input_file"):
        raise BadRow("the program is to read a file")
    return CodeProblem(
        id=text(row, "name"),
        prompt=text(row, "description"),
        solutions=_python(row, "solutions"),
        incorrect_solutions=_python(row, "incorrect_solutions"),
        public_tests=_tests(row, "public_tests"),
        hidden_tests=[*_tests(row, "private_tests"), *_tests(row, "generated_tests")],
        difficulty=str(row.get("difficulty", "")),
        io_mode="stdio",
        source=source,
    )


def _columns(row: Mapping[str, Any], name: str, columns: tuple[str, str]) -> list[tuple[Any, Any]]:
    """Returns pairs from an object of two lists, or from a list of objects: libraries give either form."""
    table = row.get(name) or {}
    if isinstance(table, list):
        table = {
            column: [item.get(column) if isinstance(item, Mapping) else None for item in table]
            for column in columns
        }
    first, second = (
        (table.get(column, []) for column in columns) if isinstance(table, Mapping) else (None, None)
    )
    if not isinstance(first, list) or not isinstance(second, list) or len(first) != len(second):
        raise BadRow(f"{name} is no table of {columns[0]} and {columns[1]}")
    return list(zip(first, second, strict=True))


def _tests(row: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    pairs = _columns(row, name, ("input", "output"))
    if not all(isinstance(test_input, str) and isinstance(expected, str) for test_input, expected in pairs):
        raise BadRow(f"{name} holds something that is no text")
    return [{"input": test_input, "output": expected} for test_input, expected in pairs]


def _python(row: Mapping[str, Any], name: str) -> list[str]:
    pairs = _columns(row, name, ("language", "solution"))
    return [solution for language, solution in pairs if language in PYTHON3 and isinstance(solution, str)]
