"""Do two answers say the same? What text, numbers, units, truth values and structure decide; `symbolic` is asked for the rest.

`quickly` costs microseconds and calls no symbolic mathematics; `compare` takes lists, sets, tuples, intervals and equations apart and runs
in a process that can be killed (`workers`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pipelines.rewards import units
from pipelines.rewards.answer_text import compact, mathy, tidy, tokens, wordy
from pipelines.rewards.unit_table import ANGLE
from pipelines.rewards.verdict import Verdict, right, wrong

MAX_LENGTH = 2000  # characters of a final answer that are read; equal text is right at any length
MAX_PARTS = 40
MAX_DEPTH = 4
TRUE = frozenset(["yes", "true", "correct", "right", "是", "对", "正确", "真", "是的"])
FALSE = frozenset(["no", "false", "incorrect", "wrong", "否", "错", "错误", "假", "不是", "不对", "不正确"])
NEGATION = re.compile(
    r"\b(?:not|no|never|neither|nor|or|without|cannot|isn't|aren't|wasn't|doesn't|don't|either|less|more|about|between)\b|不|非|没|或"
)
CLAUSE = re.compile(r".*(?:\b(?:is|are|was|were|be|equals?|to|has|have|costs?|total)\b|[=:≈]|为|是)\s*")
NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w.]*\d)")
NAME = re.compile(r"([A-Za-z](?:_\{?\w+\}?)?|\\[a-z]+|[A-Za-z]\(\s*[A-Za-z]\s*\))\s*(?:=|\\in\b)\s*([^=<>]+)")
RELATION = re.compile(r"<=|>=|<|>|\\le(?![a-z])|\\ge(?![a-z])|\\lt(?![a-z])|\\gt(?![a-z])")
OPEN, CLOSE = "([{", ")]}"
AND = re.compile(r"\s+(?:and|or|&)\s+|\s*(?:和|或|及)\s*|\s*\\text\s*\{\s*(?:and|or)\s*\}\s*")
Ask = Callable[[str, str], Verdict]


def quickly(answer: str, reference: str, require_units: bool = False) -> Verdict | None:
    """A verdict without symbolic mathematics, or None. `answer` and `reference` as written; the reference must not be empty."""
    if answer.strip() == reference.strip():
        return right()
    if len(answer) > MAX_LENGTH:
        return wrong(f"a final answer of {len(answer)} characters")
    ours, theirs = tidy(answer), tidy(reference)
    if not ours:
        return wrong("the final answer is empty")
    return _quickly(ours, theirs, require_units)


def _quickly(ours: str, theirs: str, require_units: bool) -> Verdict | None:
    """Of tidy text."""
    if compact(ours) == compact(theirs):
        return right()
    truth = _truth(theirs)
    if truth is not None and (said := _truth(ours)) is not None:
        return right() if said == truth else wrong(f"answered {ours[:40]!r}")
    reference = units.quantity(theirs)
    if reference is not None:
        given = units.quantity(ours) or _in_sentence(ours)
        if given is not None:
            agreed, reason = units.agree(given, reference, require_units)
            return right() if agreed else wrong(reason)
    words = wordy(theirs) and not mathy(theirs)
    if (words or wordy(ours)) and tokens(ours) == tokens(theirs) != []:
        return right()
    if words and reference is None:
        return right() if _parts_in_words(ours) == _parts_in_words(theirs) else wrong("other words")
    if wordy(ours) and not mathy(ours):
        return wrong("words where the reference is mathematics")
    return None


def compare(answer: str, reference: str, symbolic: Ask, require_units: bool = False) -> Verdict:
    """The whole comparison; `symbolic(answer, reference)` judges two expressions of tidy LaTeX."""
    found = quickly(answer, reference, require_units)
    return found if found is not None else _compare(tidy(answer), tidy(reference), symbolic, require_units, 0)


def _compare(ours: str, theirs: str, symbolic: Ask, require_units: bool, depth: int) -> Verdict:
    found = _quickly(ours, theirs, require_units)
    if found is not None:
        return found
    if depth >= MAX_DEPTH:
        return wrong("nested too deep")

    def again(one: str, other: str) -> Verdict:
        return _compare(one.strip(), other.strip(), symbolic, require_units, depth + 1)

    our_name, our_value = _named(ours)
    their_name, their_value = _named(theirs)
    if our_name or their_name:
        if our_name and their_name and compact(our_name) != compact(their_name):
            return wrong(f"{our_name} where {their_name} is asked")
        return again(our_value, their_value)
    our_interval, their_interval = _interval(ours), _interval(theirs)
    if (our_interval or their_interval) and (our_interval, their_interval) != (ours, theirs):
        return again(our_interval or ours, their_interval or theirs)
    if "\\cup" in ours and "\\cup" in theirs:
        return _unordered(_split(ours, "\\cup"), _split(theirs, "\\cup"), again)
    if "\\pm" in ours or "\\pm" in theirs:
        spread_ours, spread_theirs = _spread(ours), _spread(theirs)
        if (spread_ours, spread_theirs) != (ours, theirs):
            return again(spread_ours, spread_theirs)
    our_kind, our_parts = _parts(ours)
    their_kind, their_parts = _parts(theirs)
    if len(our_parts) > MAX_PARTS or len(their_parts) > MAX_PARTS:
        return wrong("a list too long to compare")
    if len(our_parts) > 1 or len(their_parts) > 1 or our_kind == "{" != their_kind or our_kind != "{" == their_kind:
        return _lists(our_kind, our_parts, their_kind, their_parts, again)
    (our_value, our_unit), (their_value, their_unit) = units.apart(ours), units.apart(theirs)
    if our_unit or their_unit:
        return _with_units(our_value, our_unit, their_value, their_unit, require_units, again)
    if "=" in ours and "=" not in theirs and not RELATION.search(ours):
        return again(ours.rpartition("=")[2], theirs)  # a chain: x = 2 + 3 = 5
    return symbolic(ours, theirs)


def _lists(our_kind: str, ours: list[str], their_kind: str, theirs: list[str], again: Ask) -> Verdict:
    kinds = {our_kind, their_kind}
    if "{" in kinds and kinds & {"()", "[]", "(]", "[)"}:
        return wrong("a set is no interval or tuple")
    if "{" in kinds and "" in kinds and 1 in (len(ours), len(theirs)) and len(ours) != len(theirs):
        return wrong("another number of values")
    if len(ours) != len(theirs):
        return wrong(f"{len(ours)} values where the reference has {len(theirs)}")
    if our_kind and their_kind and our_kind != their_kind and not (len(ours) != 2 and kinds == {"()", "[]"}):
        return wrong("other brackets")
    if "{" in kinds or kinds == {""}:
        return _unordered(ours, theirs, again)
    for one, other in zip(ours, theirs, strict=True):
        verdict = again(one, other)
        if verdict.outcome != "right":
            return verdict
    return right()


def _with_units(
    ours: str, our_unit: units.Unit | None, theirs: str, their_unit: units.Unit | None, require_units: bool, again: Ask
) -> Verdict:
    """Formulas with units: `30^\\circ` is `\\pi/6`; another unit missing on one side is forgiven unless `require_units`."""
    angle = (our_unit or their_unit) and {unit.dimension for unit in (our_unit, their_unit) if unit} == {ANGLE}
    if our_unit and their_unit and our_unit.dimension != their_unit.dimension:
        return wrong("another kind of unit")
    if their_unit and not our_unit and require_units:
        return wrong("no unit")
    plain = again(ours, theirs)
    if plain.outcome == "right" and (our_unit is None or their_unit is None or our_unit.factor == their_unit.factor):
        return plain
    if (our_unit and their_unit) or angle:
        return again(_in_base(ours, our_unit), _in_base(theirs, their_unit))
    return plain


def _in_base(value: str, unit: units.Unit | None) -> str:
    if unit is None or unit.factor == 1:
        return value
    if unit.dimension == ANGLE:
        return f"({value}) \\cdot \\frac{{\\pi}}{{180}}" if unit.degrees else value
    return f"({value}) \\cdot \\frac{{{unit.factor.numerator}}}{{{unit.factor.denominator}}}"


def _unordered(ours: list[str], theirs: list[str], again: Ask) -> Verdict:
    if len(ours) != len(theirs):
        return wrong(f"{len(ours)} values where the reference has {len(theirs)}")
    left = list(ours)
    for other in theirs:
        found = next((one for one in left if again(one, other).outcome == "right"), None)
        if found is None:
            return wrong(f"no value that equals {other[:40]!r}")
        left.remove(found)
    return right()


def _truth(text: str) -> bool | None:
    word = text.casefold().strip(" .!,")
    first = word.split(",")[0].strip()
    return True if word in TRUE or first in TRUE else False if word in FALSE or first in FALSE else None


def _in_sentence(ours: str) -> units.Quantity | None:
    """The one quantity of a sentence: what follows its last verb or `=`, else its only number. None where it negates or hedges."""
    if not wordy(ours) or NEGATION.search(ours.casefold()):
        return None
    clause = CLAUSE.match(ours)
    found = units.quantity(ours[clause.end() :]) if clause else None
    if found is not None:
        return found
    numbers = NUMBER.findall(ours)
    return units.quantity(numbers[0]) if len(numbers) == 1 and "\\" not in ours and "^" not in ours else None


def _parts_in_words(text: str) -> list[list[str]]:
    return sorted(tokens(part) for part in re.split(r"[,;]|\band\b", text) if part.strip())


def _named(text: str) -> tuple[str, str]:
    """(name, value) of `x = 5`, `f(x) = ...`, `x \\in [0, 1)`; no name elsewhere."""
    match = NAME.fullmatch(text)
    return (match[1], match[2]) if match and not _split_any(match[1])[1:] else ("", text)


def _interval(text: str) -> str:
    """`0 \\le x < 1` -> `[0,1)`, `x > 3` -> `(3,\\infty)`; `` when it is no such inequality of one variable."""
    signs = [
        sign.strip().replace("\\le", "<=").replace("\\ge", ">=").replace("\\lt", "<").replace("\\gt", ">")
        for sign in RELATION.findall(text)
    ]
    sides = [side.strip() for side in RELATION.split(text)]
    if any(re.search(r"[,;]|\\cup|=", side) for side in sides) or not all(sides):
        return ""
    variable = re.compile(r"[A-Za-z](?:_\{?\w+\}?)?|\\[a-z]+").fullmatch
    constants = ("\\infty", "\\pi", "e")
    if len(signs) == 2 and signs[0][0] == signs[1][0] and variable(sides[1]) and sides[1] not in constants:
        low, high, first, last = (0, 2, 0, 1) if signs[0][0] == "<" else (2, 0, 1, 0)
        return f"{'[' if '=' in signs[first] else '('}{sides[low]},{sides[high]}{']' if '=' in signs[last] else ')'}"
    if len(signs) == 1:
        left = bool(variable(sides[0])) and sides[0] not in constants
        if left == (bool(variable(sides[1])) and sides[1] not in constants):
            return ""
        bound, below = (sides[1], signs[0][0] == "<") if left else (sides[0], signs[0][0] == ">")
        closed = "=" in signs[0]
        return f"(-\\infty,{bound}{']' if closed else ')'}" if below else f"{'[' if closed else '('}{bound},\\infty)"
    return ""


def _spread(text: str) -> str:
    """`1 \\pm \\sqrt{2}` -> the two values; text with more or with none stays."""
    return (
        f"{text.replace(chr(92) + 'pm', '+')} , {text.replace(chr(92) + 'pm', '-')}".replace("+ ", "+") if text.count("\\pm") == 1 else text
    )


def _parts(text: str) -> tuple[str, list[str]]:
    """(brackets, parts): `()`, `[]`, `(]`, `[)`, `{` for sets, `;` for a list in a fixed order, `` for a bare list or a single value."""
    whole = text
    if text.startswith("\\{") and text.endswith("\\}"):
        return "{", _split_any(text[2:-2])
    if text[:1] in "([{" and text[-1:] in ")]}" and text[:1] and _closes_at_end(text):
        kind = text[0] + text[-1]
        inner = _split_any(text[1:-1])
        if kind == "{}":
            return "{", inner
        if len(inner) > 1:
            return kind, inner
        whole = text[1:-1] if kind == "()" else text
    if len(ordered := _split(whole, ";")) > 1:
        return ";", ordered
    return "", _split_any(whole)


def _split_any(text: str) -> list[str]:
    """Parts at top-level semicolons, commas and the words and/or. `1,234` is one number."""
    found = _split(text, ";")
    if len(found) > 1:
        return found
    return [part for piece in _split(text, ",") for part in AND.split(piece) if part.strip()] or [text]


def _split(text: str, separator: str) -> list[str]:
    parts, depth, start, place = [], 0, 0, 0
    while place < len(text):
        character = text[place]
        depth += (character in OPEN) - (character in CLOSE)
        if depth == 0 and text.startswith(separator, place) and not (separator == "," and _thousands(text, place)):
            parts.append(text[start:place])
            start = place + len(separator)
        place += 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def _thousands(text: str, place: int) -> bool:
    return re.search(r"(?<!\d)\d{1,3}(?:,\d{3})*$", text[:place][-12:]) is not None and re.match(r",\d{3}(?!\d)", text[place:]) is not None


def _closes_at_end(text: str) -> bool:
    depth = 0
    for place, character in enumerate(text):
        depth += (character in OPEN) - (character in CLOSE)
        if depth == 0:
            return place == len(text) - 1
    return False
