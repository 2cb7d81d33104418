"""Whether two answers are equivalent, as far as text, numbers, units, times, truth values and structure
decide it; `symbolic` compares expressions.

`compare_without_symbolic` takes microseconds. `compare` splits lists, sets, tuples, intervals and equations,
and runs in a process that can be killed (`workers`). An answer with more than one value where the reference
has one is wrong: `41 = 42`, `42, …`, `42 or 43`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import chain as joined

from pipelines.rewards.answers import structure, units
from pipelines.rewards.answers.answer_text import (
    has_mathematics,
    has_words,
    normalize,
    without_spaces,
    word_tokens,
)
from pipelines.rewards.answers.clock import parse_time, same_time
from pipelines.rewards.answers.numerals import parse_based_numeral
from pipelines.rewards.answers.sentence import (
    parse_decimal_comma_quantity,
    quantity_in_sentence,
    time_in_sentence,
)
from pipelines.rewards.answers.structure import (
    OTHER_RELATION,
    RELATION,
    is_constant,
    split_brackets,
    split_chain,
    split_list,
    split_name,
    split_top_level,
)
from pipelines.rewards.answers.unit_table import ANGLE
from pipelines.rewards.verdict import Verdict, right, wrong

MAX_LENGTH = 2000  # characters of a final answer that are read; equal text is right at any length
MAX_PARTS = 40
MAX_DEPTH = 4
TRUE = frozenset(["yes", "true", "correct", "right", "是", "对", "正确", "真", "是的"])
FALSE = frozenset(["no", "false", "incorrect", "wrong", "否", "错", "错误", "假", "不是", "不对", "不正确"])
DENIED = re.compile(
    r"\b(?:not|never|neither|nor|cannot|isn't|aren't|wasn't|wrong|incorrect|if|let|suppose|assume|when|unless"
    r"|try|fails?)\b|不(?:是|为|等|对)|并非"
)
COMMAND = re.compile(r"\\(?:begin|end)\s*\{[a-z]+\*?\}|\\[A-Za-z]+")
ITEMS = re.compile(r"\(1\).*\(2\)|\(a\).*\(b\)", re.I | re.S)
WORD = re.compile(
    r"(?<![\\A-Za-z])(?!(?:sqrt|arcsin|arccos|arctan|sinh|cosh|tanh)(?![A-Za-z]))[a-z]{4,}|[㐀-鿿]"
)  # no product of letters is that long
TIMELY = re.compile(r"\b(?:[ap]\.?\s?m\b|noon|midnight|o'? ?clock|midday)|\d\s*[点时]|[中正]午|午夜", re.I)
Compare = Callable[[str, str], Verdict]


def compare_without_symbolic(answer: str, reference: str, require_units: bool = False) -> Verdict | None:
    """Returns a verdict, or None where symbolic mathematics is needed. `answer` and `reference` are as
    written; `reference` must not be empty.
    """
    if answer.strip() == reference.strip():
        return right()
    if len(answer) > MAX_LENGTH:
        return wrong(f"a final answer of {len(answer)} characters")
    ours, theirs = normalize(answer), normalize(reference)
    if not ours:
        return wrong("the final answer is empty")
    return _compare_normalized(ours, theirs, require_units)


def _compare_normalized(ours: str, theirs: str, require_units: bool) -> Verdict | None:
    """`compare_without_symbolic` of normalized text."""
    if without_spaces(ours) == without_spaces(theirs):
        return right()
    if "?" in ours and "?" not in theirs:
        return wrong("a question, no answer")
    if (
        "cases}" not in ours
        and DENIED.search(ours.casefold())
        and has_mathematics(theirs)
        and not DENIED.search(theirs.casefold())
    ):
        return wrong("the answer is denied")
    truth = _truth_value(theirs)
    if truth is not None and (value := _truth_value(ours)) is not None:
        return right() if value == truth else wrong(f"answered {ours[:40]!r}")
    times = _compare_times(ours, theirs)
    if times is not None:
        return times
    if (ours_based := parse_based_numeral(ours)) or parse_based_numeral(theirs):
        return _compare_numerals(ours, ours_based, theirs, parse_based_numeral(theirs))
    reference = units.parse_quantity(theirs)
    if reference is not None:
        quantity = (
            units.parse_quantity(ours)
            or parse_decimal_comma_quantity(ours, reference)
            or quantity_in_sentence(ours, reference)
        )
        if quantity is not None:
            agreed, reason = units.same_quantity(quantity, reference, require_units)
            return right() if agreed else wrong(reason)
    words = has_words(theirs) and not has_mathematics(theirs)
    if (words or has_words(ours)) and word_tokens(ours) == word_tokens(theirs) != []:
        return right()
    if words and reference is None:
        return right() if _parts_in_words(ours) == _parts_in_words(theirs) else wrong("other words")
    if has_words(ours) and not has_mathematics(ours):
        return wrong("words where the reference is mathematics")
    return None


def _compare_numerals(
    ours: str, our_value: tuple[int, int] | None, theirs: str, their_value: tuple[int, int] | None
) -> Verdict | None:
    """Compares numerals with a base: both number and base must be equal. A base that one side leaves out is
    taken from the question, as a unit is.
    """
    if our_value and their_value:
        return (
            right()
            if our_value == their_value
            else wrong("another number" if our_value[1] == their_value[1] else "another base")
        )
    written, value, other = (ours, our_value, theirs) if our_value else (theirs, their_value, ours)
    bare = units.parse_quantity(other)
    if bare is None or value is None:
        return None
    if bare.number.value == value[0] and (value[1] == 10 or "_" not in written):
        return right()
    digits = re.sub(r"[\s()]|_.*", "", written)
    return (
        right()
        if "_" in written and value[1] != 10 and without_spaces(other).casefold() == digits.casefold()
        else wrong("another number")
    )


def compare(answer: str, reference: str, symbolic: Compare, require_units: bool = False) -> Verdict:
    """Returns the verdict on `answer`. `symbolic(answer, reference)` compares two expressions, or two
    equations, in normalized LaTeX.
    """
    verdict = compare_without_symbolic(answer, reference, require_units)
    return (
        verdict
        if verdict is not None
        else _compare(normalize(answer), normalize(reference), symbolic, require_units, 0)
    )


def _compare(ours: str, theirs: str, symbolic: Compare, require_units: bool, depth: int) -> Verdict:
    verdict = _compare_normalized(ours, theirs, require_units)
    if verdict is not None:
        return verdict
    if depth >= MAX_DEPTH:
        return wrong("nested too deep")
    if sum(map(ours.count, "([{")) != sum(map(ours.count, ")]}")) or (
        ITEMS.search(ours) and not ITEMS.search(theirs)
    ):
        return wrong("several items, or brackets that do not match")

    def again(our_part: str, their_part: str) -> Verdict:
        return _compare(our_part.strip(), their_part.strip(), symbolic, require_units, depth + 1)

    if "\\\\" in ours + theirs:
        listed = structure.system_as_list(ours), structure.system_as_list(theirs)
        if listed != (ours, theirs):
            return again(*listed)
        our_cases, their_cases = structure.case_rows(ours), structure.case_rows(theirs)
        if our_cases and their_cases:
            return _compare_cases(our_cases, their_cases, again)
    for rewritten in (_without_names, _same_notation):
        pair = rewritten(ours, theirs)
        if isinstance(pair, Verdict):
            return pair
        if pair is not None:
            return again(*pair)
    if "\\cup" in ours and "\\cup" in theirs:
        return _compare_unordered(split_top_level(ours, "\\cup"), split_top_level(theirs, "\\cup"), again)
    our_rows, their_rows = structure.matrix_rows(ours), structure.matrix_rows(theirs)
    if our_rows and their_rows and "\\begin" in ours + theirs:
        return _compare_matrices(our_rows, their_rows, again)
    our_kind, our_parts = split_brackets(ours)
    their_kind, their_parts = split_brackets(theirs)
    if len(our_parts) > MAX_PARTS or len(their_parts) > MAX_PARTS:
        return wrong("a list too long to compare")
    if (
        len(our_parts) > 1
        or len(their_parts) > 1
        or our_kind == "{" != their_kind
        or our_kind != "{" == their_kind
    ):
        return _compare_lists(our_kind, our_parts, their_kind, their_parts, again)
    (our_value, our_unit), (their_value, their_unit) = units.split_unit(ours), units.split_unit(theirs)
    if our_unit or their_unit:
        return _compare_with_units(our_value, our_unit, their_value, their_unit, require_units, again)
    if len(split_chain(ours)) > 1 and len(split_chain(theirs)) == 1:
        return _compare_chain(split_chain(ours), theirs, again)
    if _long_words(ours) - _long_words(theirs):
        return wrong("words beside the mathematics")
    for relation in (RELATION, OTHER_RELATION):
        if (relation.search(ours) is None) != (relation.search(theirs) is None):
            return wrong("a relation on one side only")
    return symbolic(ours, theirs)


def _long_words(text: str) -> set[str]:
    return set(WORD.findall(COMMAND.sub(" ", text).casefold()))


def _without_names(ours: str, theirs: str) -> tuple[str, str] | Verdict | None:
    """Removes names before an equals sign (`x = 5` -> `5`); equations stay. None where nothing changes."""
    bare = structure.without_tuple_name(ours), structure.without_tuple_name(theirs)
    if bare != (ours, theirs):
        return bare
    (our_name, our_value), (their_name, their_value) = split_name(ours), split_name(theirs)
    ours_is_equation, theirs_is_equation = (
        "=" in ours and len(split_list(ours)) == 1,
        "=" in theirs and len(split_list(theirs)) == 1,
    )
    if their_name and is_constant(their_value):  # solved: the answer must be solved too
        if our_name:
            same_name = without_spaces(our_name) == without_spaces(their_name)
            return (our_value, their_value) if same_name else wrong(f"{our_name} where {their_name} is asked")
        if not ours_is_equation:
            return ours, their_value
        first, _, rest = ours.partition("=")
        return (
            (rest, their_value)
            if without_spaces(first) == without_spaces(their_name)
            else wrong(f"not solved for {their_name}")
        )
    if (
        our_name
        and their_name
        and without_spaces(our_name) == without_spaces(their_name)
        and (is_constant(our_value) or len(our_name) > 1)
    ):
        return our_value, their_value
    if theirs_is_equation:
        return (ours, their_value) if their_name and not ours_is_equation else None
    return (our_value, theirs) if our_name else None


def _same_notation(ours: str, theirs: str) -> tuple[str, str] | None:
    """Removes letters of options and points, writes inequalities as intervals, `\\pm` as two values, and a
    matrix of one row or column as a tuple where the other side is one. None where nothing changes.
    """
    plain = (
        structure.reals_as_interval(structure.without_label(ours, theirs)),
        structure.reals_as_interval(structure.without_label(theirs, ours)),
    )
    if plain != (ours, theirs):
        return plain
    our_interval, their_interval = (
        structure.inequalities_as_interval(ours),
        structure.inequalities_as_interval(theirs),
    )
    if our_interval or their_interval:
        return our_interval or ours, their_interval or theirs
    if "\\pm" in ours or "\\pm" in theirs:
        spread = structure.expand_plus_minus(ours), structure.expand_plus_minus(theirs)
        return spread if spread != (ours, theirs) else None
    if ("matrix}" in ours) != ("matrix}" in theirs):
        pair = structure.vector_as_tuple(ours), structure.vector_as_tuple(theirs)
        return pair if pair != (ours, theirs) else None
    return None


def _compare_chain(members: list[str], theirs: str, again: Compare) -> Verdict:
    """Compares a chain (`x = 2 + 3 = 5`, `\\frac13 \\approx 0.33`): one member must equal the reference, and
    no other member may have another value.
    """
    values = [member for place, member in enumerate(members) if place or is_constant(member)]
    head = members[0]
    if structure.is_unsolved_equation(members):
        return wrong(f"{head[:40]} is not the value that is asked")  # x + 1 = 42
    values = [member for member in values if not structure.BARE_NAME.fullmatch(member)] or values  # x = y = 5
    verdicts = [again(member, theirs) for member in values]
    if not any(verdict.outcome == "right" for verdict in verdicts):
        return verdicts[-1] if verdicts else wrong("no value")
    for member, verdict in zip(values, verdicts, strict=True):
        if verdict.outcome != "right" and not _rounds_to(member, theirs):
            return wrong(f"{member[:40]} beside the answer is another value")
    return right()


def _rounds_to(decimal: str, value: str) -> bool:
    """Returns whether `decimal` is `value` rounded, at any precision."""
    ours, theirs = units.parse_quantity(decimal), units.parse_quantity(value)
    if ours is None or theirs is None or ours.number.ulp is None:
        return False
    return abs(ours.in_si().value - theirs.in_si().value) <= (ours.in_si().ulp or 0)


def _compare_lists(
    our_kind: str, ours: list[str], their_kind: str, theirs: list[str], again: Compare
) -> Verdict:
    kinds = {our_kind, their_kind}
    if "{" in kinds and kinds & {"()", "[]", "(]", "[)"}:
        return wrong("a set is no interval or tuple")
    if "{" in kinds and "" in kinds and 1 in (len(ours), len(theirs)) and len(ours) != len(theirs):
        return wrong("another number of values")
    if kinds == {""} and len(theirs) == 1 < len(ours):  # one value in several forms: `x + 11 or 11 + x`
        verdicts = [again(part, theirs[0]) for part in ours]
        return next((verdict for verdict in verdicts if verdict.outcome != "right"), right())
    if len(ours) != len(theirs):
        return wrong(f"{len(ours)} values where the reference has {len(theirs)}")
    if our_kind and their_kind and our_kind != their_kind and not (len(ours) != 2 and kinds == {"()", "[]"}):
        return wrong("other brackets")
    ours, theirs, labelled = _by_label(ours, theirs)
    if not labelled and ("{" in kinds or kinds == {""}):
        return _compare_unordered(ours, theirs, again)
    for our_part, their_part in zip(ours, theirs, strict=True):
        verdict = again(our_part, their_part)
        if verdict.outcome != "right":
            return verdict
    return right()


def _compare_matrices(ours: list[list[str]], theirs: list[list[str]], again: Compare) -> Verdict:
    """Compares matrices cell by cell, whatever their brackets."""
    if [len(row) for row in ours] != [len(row) for row in theirs] or len(theirs) * len(theirs[0]) > MAX_PARTS:
        return wrong("a matrix of another shape")
    for our_cell, their_cell in zip(joined(*ours), joined(*theirs), strict=True):
        if (verdict := again(our_cell, their_cell)).outcome != "right":
            return verdict
    return right()


def _compare_cases(ours: list[list[str]], theirs: list[list[str]], again: Compare) -> Verdict:
    """Compares definitions by cases: equal rows (value and condition) in any order."""
    if sorted(map(len, ours)) != sorted(map(len, theirs)) or len(theirs) > MAX_PARTS:
        return wrong("other cases")
    unmatched = list(ours)
    for row in theirs:
        equal_row = next(
            (
                our_row
                for our_row in unmatched
                if len(our_row) == len(row)
                and all(again(*pair).outcome == "right" for pair in zip(our_row, row, strict=True))
            ),
            None,
        )
        if equal_row is None:
            return wrong(f"no case that is {row[0][:40]!r}")
        unmatched.remove(equal_row)
    return right()


def _by_label(ours: list[str], theirs: list[str]) -> tuple[list[str], list[str], bool]:
    """Returns both sides' values and whether names order them: `y=2, x=1` is sorted by name, where every
    value has a one-letter name of its own.
    """
    names = [sorted((name, value) for name, value in map(split_name, side)) for side in (ours, theirs)]
    distinct = [
        len({name for name, _ in side}) == len(side) and all(len(name) == 1 for name, _ in side)
        for side in names
    ]
    bare = [not any(name for name, _ in side) for side in names]
    if all(distinct) and [name for name, _ in names[0]] == [name for name, _ in names[1]]:
        return [value for _, value in names[0]], [value for _, value in names[1]], True
    if distinct[0] and bare[1]:
        return [value for _, value in names[0]], theirs, True
    if distinct[1] and bare[0]:
        return ours, [value for _, value in names[1]], True
    return ours, theirs, False


def _compare_with_units(
    ours: str,
    our_unit: units.Unit | None,
    theirs: str,
    their_unit: units.Unit | None,
    require_units: bool,
    again: Compare,
) -> Verdict:
    """Compares formulas with units: `30^\\circ` equals `\\pi/6`. A unit (other than of angles) that only one
    side has is forgiven unless `require_units`.
    """
    angle = (our_unit or their_unit) and {unit.dimension for unit in (our_unit, their_unit) if unit} == {
        ANGLE
    }
    if our_unit and their_unit and our_unit.dimension != their_unit.dimension:
        return wrong("another kind of unit")
    if their_unit and not our_unit and require_units:
        return wrong("no unit")
    plain = again(ours, theirs)
    if plain.outcome == "right" and (
        our_unit is None or their_unit is None or our_unit.factor == their_unit.factor
    ):
        return plain
    if (our_unit and their_unit) or angle:
        return again(_in_base_unit(ours, our_unit), _in_base_unit(theirs, their_unit))
    return plain


def _in_base_unit(value: str, unit: units.Unit | None) -> str:
    if unit is None or unit.factor == 1:
        return value
    if unit.dimension == ANGLE:
        return f"({value}) \\cdot \\frac{{\\pi}}{{180}}" if unit.degrees else value
    return f"({value}) \\cdot \\frac{{{unit.factor.numerator}}}{{{unit.factor.denominator}}}"


def _compare_unordered(ours: list[str], theirs: list[str], again: Compare) -> Verdict:
    if len(ours) != len(theirs):
        return wrong(f"{len(ours)} values where the reference has {len(theirs)}")
    unmatched = list(ours)
    for their_part in theirs:
        equal_part = next((part for part in unmatched if again(part, their_part).outcome == "right"), None)
        if equal_part is None:
            return wrong(f"no value that equals {their_part[:40]!r}")
        unmatched.remove(equal_part)
    return right()


def _truth_value(text: str) -> bool | None:
    word = text.casefold().strip(" .!,")
    first = word.split(",")[0].strip()
    return True if word in TRUE or first in TRUE else False if word in FALSE or first in FALSE else None


def _compare_times(ours: str, theirs: str) -> Verdict | None:
    """Compares times of day; None where both may be ratios, or neither is a time."""
    if ":" not in ours + theirs and not (TIMELY.search(ours) or TIMELY.search(theirs)):
        return None
    their_time, our_time = parse_time(theirs), parse_time(ours) or time_in_sentence(ours)
    if our_time is not None and their_time is not None:
        return right() if same_time(our_time, their_time) else wrong("another time")
    if (their_time is not None and not their_time.ratio) or (our_time is not None and not our_time.ratio):
        return wrong("a time of day beside what is none")
    return None


def _parts_in_words(text: str) -> list[list[str]]:
    return sorted(word_tokens(part) for part in re.split(r"[,;]|\band\b", text) if part.strip())
