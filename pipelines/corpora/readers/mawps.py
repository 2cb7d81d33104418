"""MAWPS in SVAMP's form: an arithmetic word problem with placeholders, its numbers, and the equation in
prefix form.

There are no written solutions, so that the rows serve RL and evaluation. The equation is checked against the
answer, which finds malformed rows.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from pipelines.corpora.raw.columns import BadRow, number, text
from pipelines.corpora.raw.problem import Problem, Reading, Role
from pipelines.corpora.raw.published import problems
from pipelines.corpora.raw.sources_params import FileSource

PLACE = re.compile(r"\bnumber(\d+)\b")
OPERATIONS: Mapping[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
TOLERANCE = Fraction(1, 100)  # answers are rounded to two decimals in places


def read(source: FileSource, reading: Reading) -> Iterator[Problem]:
    """Yields problems of rows `{Question, Numbers, Equation, Answer}`; the numbers are put into the question,
    whole ones without `.0`.
    """

    def convert(row: dict[str, Any], role: Role) -> Problem:
        values = [number(value) for value in text(row, "Numbers").split()]
        answer = number(text(row, "Answer"))
        _check(text(row, "Equation"), values, answer)
        return Problem(fill_numbers(text(row, "Question"), values), answer, role, reading.name)

    return problems(source, reading, convert)


def fill_numbers(question: str, values: list[str]) -> str:
    """Returns the question with `number0`, `number1`, ... replaced. Raises BadRow when a number
    is missing.
    """

    def value(match: re.Match[str]) -> str:
        if int(match.group(1)) >= len(values):
            raise BadRow("the question asks for more numbers than there are")
        return values[int(match.group(1))]

    return PLACE.sub(value, question)


def _check(equation: str, values: list[str], answer: str) -> None:
    """Raises BadRow where the equation does not give the answer."""
    stack: list[Fraction] = []
    try:
        for token in reversed(equation.split()):
            # prefix notation read from its end: the operands are on the stack, the first on top
            if token in OPERATIONS:
                stack.append(OPERATIONS[token](stack.pop(), stack.pop()))
            else:
                stack.append(Fraction(fill_numbers(token, values)))
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise BadRow("the equation cannot be evaluated") from error
    if len(stack) != 1 or abs(stack[0] - Fraction(answer)) > TOLERANCE * max(Fraction(1), abs(stack[0])):
        raise BadRow("the equation does not give the answer")
