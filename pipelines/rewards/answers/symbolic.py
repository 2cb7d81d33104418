"""Compares two LaTeX expressions with math-verify, and numerically where math-verify is known to err
(reward_bridge.md 8.3).

Runs only inside `workers`, which can kill it: math-verify's own time limit is a signal, which does not
interrupt one long multiplication. Numbers are compared here to 30 digits, because math-verify rounds to six
places absolutely and takes 1e-7 for 2e-7.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any

from pipelines.rewards.answers.equivalence import compare
from pipelines.rewards.answers.numerals import Number, parse_number, same_number
from pipelines.rewards.answers.structure import RELATION
from pipelines.rewards.verdict import Verdict, error, right, wrong

DIGITS = 30
MAX_SYMBOLS = 8
MAX_TERMS = 1000  # of a sum that is added up
APART = 1e-12  # relative difference of two values that proves two expressions different
CLOSE = Fraction(1, 10**15)  # relative: two exact expressions that are this near are one number
FUNCTION = re.compile(
    r"(?<![\\A-Za-z])(sqrt|sin|cos|tan|cot|sec|csc|log|ln|exp|arcsin|arccos|arctan)(?=\s*[({^]"
    r"|\s+[A-Za-z\d\\])"
)
ROOT = re.compile(r"\\sqrt\s*\(([^()]*)\)")
APART_NUMBERS = re.compile(r"(?<![_\d])(?<!\\frac )(?<!binom )(?<!\\frac \d )\d+\s+\d")
APART_FRACTIONS = re.compile(
    r"\\frac\s*\{\s*\d+\s*\}\s*\{\s*\d+\s*\}\s*(?:\\frac\s*\{\s*\d+\s*\}\s*\{\s*\d+\s*\}|\d)"
)
SUBSCRIPT = re.compile(r"(?<![_\d])\d+\s*_\s*\{?[a-z]")  # `5_x` is not 5
BINOMIAL = re.compile(r"\\binom\s*(\d)\s*(\d)")
DEGREES = re.compile(r"\{?(\d+(?:\.\d+)?)\s*\^\s*\\circ\}?")  # in a formula: `\sin 30^\circ`
INSIDE = re.compile(r"(\{)\s+|\s+(\})")  # blanks at a brace end the grammar's reading: `\frac{1}{ e }`
ELLIPSIS = re.compile(r"\\ldots|\.\.\.")


def compare_answers(answer: str, reference: str, require_units: bool) -> Verdict:
    """Returns the verdict on two answers as written; any failure of the mathematics is an error verdict with
    its reason.
    """
    try:
        return compare(answer, reference, compare_expressions, require_units)
    except RecursionError:
        return error("the answer is nested too deep for the symbolic comparison")
    except MemoryError:
        return error("the symbolic comparison ran out of memory")
    except Exception as failure:  # noqa: BLE001 - sympy and the LaTeX grammar raise anything
        return error(f"symbolic comparison: {type(failure).__name__}: {str(failure)[:120]}")


def compare_expressions(answer: str, reference: str) -> Verdict:
    """Returns the verdict on two single expressions in normalized LaTeX."""
    from math_verify import verify

    if ELLIPSIS.search(answer) or ELLIPSIS.search(reference):
        return wrong("an enumeration with an ellipsis is compared by its text alone")
    if ("=" in answer) != ("=" in reference):
        return wrong("an equation on one side only")
    if SUBSCRIPT.search(answer) and not SUBSCRIPT.search(reference):
        return wrong("a number with an index")
    if APART_NUMBERS.search(answer) or (
        APART_FRACTIONS.search(answer) and not APART_FRACTIONS.search(reference)
    ):
        return wrong("several numbers side by side")
    if "=" in answer and not RELATION.search(answer + reference):
        return compare_equations(answer, reference)
    theirs, ours = parse_latex(reference), parse_latex(answer)
    if not theirs:
        return wrong("the reference is no expression, and the texts differ")
    if not ours:
        return wrong("the answer is no expression")
    our_value, their_value = numeric_value(answer, ours), numeric_value(reference, theirs)
    if our_value is not None and their_value is not None:
        return right() if _near(our_value, their_value) else wrong("another value")
    probed = equal_at_points(ours[0], theirs[0])
    if probed is not None:
        return right() if probed else wrong("another expression")
    equal = verify(theirs, ours, timeout_seconds=None, allow_set_relation_comp=True, raise_on_error=True)
    return right() if equal else wrong("another expression")


def compare_equations(answer: str, reference: str) -> Verdict:
    """Returns the verdict on two equations: equivalent where the differences of their sides are equal up to a
    constant factor, which is tested at sample points of both signs.
    """
    from sympy import Expr, fraction, together

    differences = []
    for text in (answer, reference):
        sides = [parse_latex(side) for side in text.split("=")]
        if (
            len(sides) != 2
            or not all(sides)
            or not all(isinstance(side[0], Expr) and not side[0].is_Matrix for side in sides)
        ):
            return wrong("no equation of two expressions")
        differences.append(fraction(together(sides[0][0] - sides[1][0]))[0])
    ours, theirs = differences
    if ours.free_symbols != theirs.free_symbols or not ours.free_symbols:
        return wrong("an equation in other variables")
    ratios = []
    for point in sample_points(sorted(ours.free_symbols, key=str)):
        above, below = (difference.evalf(DIGITS, subs=point) for difference in differences)
        if above.is_number and below.is_number and above.is_finite and below.is_finite and below != 0:
            ratios.append((above / below).evalf(DIGITS))
    if len(ratios) < 3 or abs(ratios[0]) < APART:
        return wrong("another equation")
    return (
        right()
        if all(abs(ratio - ratios[0]) <= APART * abs(ratios[0]) for ratio in ratios)
        else wrong("another equation")
    )


def sample_points(symbols: list[Any]) -> Iterator[dict[Any, Any]]:
    """Yields rational values for the symbols, of both signs and of different size, since squares
    hide a sign.
    """
    from sympy import Rational

    for turn, signs in enumerate(((1, 1), (-1, 1), (1, -1), (-1, -1))):
        yield {
            symbol: Rational(signs[place % 2] * (17 + 6 * place + 4 * turn), 13 + 2 * place - turn)
            for place, symbol in enumerate(symbols)
        }


@lru_cache(maxsize=2048)
def parse_latex(text: str) -> list[Any]:
    """Parses one expression with math-verify: [expression, text], or [] where it cannot be parsed."""
    from math_verify import LatexExtractionConfig, parse
    from sympy import E, Expr, I

    text = BINOMIAL.sub(r"\\binom{\1}{\2}", text) if "binom" in text else text
    summed = "≔" in text
    text = FUNCTION.sub(
        r"\\\1", DEGREES.sub(r"{(\1\\cdot\\frac{\\pi}{180})}", text).replace("**", "^").replace("≔", "=")
    )
    text = INSIDE.sub(r"\1\2", ROOT.sub(r"\\sqrt{\1}", text).replace("*", " \\cdot "))
    expressions: list[Any] = parse(f"${text}$", [LatexExtractionConfig()], parsing_timeout=None)
    if (
        expressions
        and isinstance(expressions[0], Expr)
        and (letters := {s: {"e": E, "i": I}[s.name] for s in expressions[0].free_symbols if s.name in "ei"})
    ):
        expressions = [
            expressions[0].subs(letters),
            *expressions[1:],
        ]  # in some spellings they are letters to the grammar
    if summed and expressions and isinstance(expressions[0], Expr):
        expressions = [_evaluated(expressions[0]), *expressions[1:]]
    return expressions


def _evaluated(expression: Any) -> Any:
    """Evaluates sums and products; one with more than MAX_TERMS terms is left as it is."""
    from sympy import Product, Sum

    for operation in expression.atoms(Sum, Product):
        bounds: tuple[Any, ...] = tuple(operation.limits[0])[1:] if len(operation.limits) == 1 else ()
        if len(bounds) == 2 and all(end.is_Integer for end in bounds) and bounds[1] - bounds[0] > MAX_TERMS:
            return expression
    return expression.doit()


def numeric_value(text: str, read: list[Any]) -> Number | None:
    """Returns the real number that a parsed expression is: exact where its text is a number, else to 30
    digits; None where it is no real number.
    """
    from sympy.core.numbers import ImaginaryUnit

    plain = parse_number(text)
    if plain is not None:
        return plain
    expression = read[0]
    if (
        not getattr(expression, "is_number", False)
        or getattr(expression, "is_Boolean", False)
        or getattr(expression, "is_Relational", False)
    ):
        return None
    near = expression.evalf(DIGITS)
    if near.has(ImaginaryUnit):
        near, rest = near.as_real_imag()  # of e^{i pi} rounding leaves an imaginary part
        if abs(rest) > APART * max(1, abs(near)):
            return None
    if not getattr(near, "is_Float", False) and not getattr(near, "is_Rational", False):
        return None
    if not near.is_finite:
        return None
    return Number(Fraction(str(near)) if near.is_Float else Fraction(int(near.p), int(near.q)))


def equal_at_points(left: Any, right: Any) -> bool | None:
    """Returns whether two expressions have equal values at sample points of both signs: cheaper than
    simplifying their difference, and no identity is missed. None where they cannot be evaluated (sets,
    matrices, relations, sums, undefined values).
    """
    from sympy import Derivative, Expr, Integral, Limit, Product, Sum
    from sympy.core.function import AppliedUndef

    if (
        not isinstance(left, Expr)
        or not isinstance(right, Expr)
        or left.has(*(unfit := (Derivative, Integral, Limit, Product, Sum, AppliedUndef)))
    ):
        return None
    symbols = sorted(left.free_symbols | right.free_symbols, key=str)
    if right.has(*unfit) or not symbols or len(symbols) > MAX_SYMBOLS or left.is_Matrix or right.is_Matrix:
        return None
    compared = 0
    for point in sample_points(symbols):
        values = [expression.evalf(DIGITS, subs=point) for expression in (left, right)]
        if not all(value.is_number and value.is_finite for value in values):
            continue
        compared += 1
        gap = abs(values[0] - values[1]).evalf(DIGITS)  # sympy's numbers: (x+y+z)^3000 is no float
        size = max(abs(values[0]).evalf(DIGITS), abs(values[1]).evalf(DIGITS))
        if not gap.is_Number or gap > APART * size:
            return False
    return True if compared >= 3 else None


def _near(left: Number, right: Number) -> bool:
    return same_number(left, right) or abs(left.value - right.value) <= CLOSE * max(
        abs(left.value), abs(right.value)
    )
