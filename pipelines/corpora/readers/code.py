"""Code problems as a corpus: the set's own prompts, reference solutions as demonstrations, the tests in
`meta` (dpo_vs_ppo.md 1.1, 1.4).

The checker `code_tests` reads the tests; public ones only select submissions, hidden ones only score
(dpo_vs_ppo.md 1.6). The texts of programs are unchanged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.code.code_problem import CodeProblem
from pipelines.corpora.raw.columns import BadRow
from pipelines.corpora.raw.problem import Problem, Reading, Role
from pipelines.corpora.raw.tables import table_rows
from pipelines.corpora.readers.options import CodeSource
from pipelines.seams import load

NUMBER = re.compile(r"\d+")


def read(source: CodeSource, reading: Reading) -> Iterator[Problem]:
    """Yields the problems. The reference answer is the first solution, or the problem's id where there is
    none.

    Good rows that give no problem are counted as left out: excluded, no_role (a number in no range of
    `numbers`), no_tests, and of validation and held-out rows no_hidden_tests.
    """
    for role, split in source.splits.items():
        for where, row in table_rows(source, reading, split):
            try:
                problem = to_code_problem(source.layout, row)
                problem_role = _role(problem, role, source)
            except (BadRow, ValueError) as fault:
                reading.ledger.reject(where, str(fault))
                continue
            reading.ledger.accept()
            reason = _left_out(problem, problem_role, source)
            if reason or problem_role is None:
                reading.ledger.left_out[reason] += 1
            else:
                yield _problem(problem, problem_role, source, reading.name)


def to_code_problem(layout: str, row: Mapping[str, Any]) -> CodeProblem:
    """Converts a row. Raises BadRow or ValueError for a row that is not of this layout."""
    problem: CodeProblem = load("pipelines.corpora.code", layout).convert(row, layout)
    return problem


def completion(problem: CodeProblem, solution: str) -> str:
    """Returns the part of a solution after the code that the prompt begins with."""
    return solution.removeprefix(problem.starter_code)


def _role(problem: CodeProblem, role: Role, source: CodeSource) -> Role | None:
    if not source.numbers:
        return role
    numbers = NUMBER.findall(problem.id)
    if not numbers:
        raise BadRow("the id holds no number, which `numbers` goes by")
    return next(
        (
            role_of_range
            for role_of_range, (first, last) in source.numbers.items()
            if first <= int(numbers[-1]) <= last
        ),
        None,
    )


def _left_out(problem: CodeProblem, role: Role | None, source: CodeSource) -> str:
    if problem.id in source.exclude:
        return "excluded"
    if role is None:
        return "no_role"
    if not problem.has_tests:
        return "no_tests"
    return "no_hidden_tests" if role in ("validation", "heldout") and not problem.hidden_tests else ""


def _problem(problem: CodeProblem, role: Role, source: CodeSource, name: str) -> Problem:
    solution = problem.solutions[0] if problem.solutions else None
    if solution is not None and source.demonstrations == "completion":
        solution = completion(problem, solution)
    subject = name if problem.difficulty in ("", source.layout) else problem.difficulty
    meta = {"id": problem.id, "code": json.loads(problem.answer())}
    return Problem(problem.prompt, solution or problem.id, role, subject, solution or None, meta=meta)
