"""APPS (Hendrycks et al. 2021) as `codeparrot/apps` has it: solutions and tests are JSON in text columns
(dpo_vs_ppo.md 1.4).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines.corpora.code.code_problem import CodeProblem
from pipelines.corpora.raw.columns import BadRow, text

CALL_BASED, STANDARD_INPUT = "Use Call-Based format", "Use Standard Input format"


def convert(row: Mapping[str, Any], source: str) -> CodeProblem:
    """Converts a row `{problem_id, question, solutions, input_output, difficulty, starter_code}`. APPS does
    not mark public tests: all are hidden. A row without tests is kept, and left out of RL and evaluation.
    Raises BadRow.
    """
    tests = _json(row, "input_output", {})
    if not isinstance(tests, dict):
        raise BadRow("input_output is no object")
    fn_name, inputs, outputs = tests.get("fn_name"), tests.get("inputs", []), tests.get("outputs", [])
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise BadRow("input_output has inputs and outputs of different number")
    if fn_name is not None and (not isinstance(fn_name, str) or not fn_name.isidentifier()):
        raise BadRow("fn_name is no name")
    solutions = _json(row, "solutions", [])
    if not isinstance(solutions, list) or not all(isinstance(item, str) for item in solutions):
        raise BadRow("solutions is no list of text")
    starter = row.get("starter_code") or ""
    make = _call if fn_name else _stdio
    return CodeProblem(
        id=f"APPS/{text(row, 'problem_id') if 'problem_id' in row else text(row, 'id')}",
        prompt=prompt(text(row, "question"), starter, fn_name is not None),
        solutions=solutions,
        public_tests=[],
        hidden_tests=[
            make(test_input, expected) for test_input, expected in zip(inputs, outputs, strict=True)
        ],
        difficulty=text(row, "difficulty"),
        io_mode="call" if fn_name else "stdio",
        source=source,
        fn_name=fn_name,
    )


def prompt(question: str, starter: str, call_based: bool) -> str:
    """Returns the prompt in the layout of the APPS paper: question, starter code if any, format, answer
    header.
    """
    parts = ["\nQUESTION:\n", question.strip(), "\n", f"{starter.strip()}\n" if starter.strip() else ""]
    return "".join([*parts, f"\n{CALL_BASED if call_based else STANDARD_INPUT}\n", "\nANSWER:\n"])


def _stdio(test_input: Any, expected: Any) -> dict[str, Any]:
    return {"input": _lines(test_input), "output": _lines(expected)}


def _call(test_input: Any, expected: Any) -> dict[str, Any]:
    if not isinstance(test_input, list):
        raise BadRow("an input of a call-based problem is no list of arguments")
    return {"args": test_input, "output": expected}


def _lines(value: Any) -> str:
    """Returns text; some rows have lists of lines instead."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    if not isinstance(value, str):
        raise BadRow("a test of a standard-input problem is no text")
    return value


def _json(row: Mapping[str, Any], column: str, empty: Any) -> Any:
    value = row.get(column)
    if value is None or value == "":
        return empty
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"{column} is no JSON") from error
