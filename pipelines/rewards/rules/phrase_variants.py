"""Paraphrases of references of the embedded multi-subject set, and near misses: training and test data of
verifiers.

`phrase_answer.matches` labels every one: paraphrases are right; near misses (another entity, another order, a
negation, one too many or too few, a hedge) are wrong, although most share nearly all words with the
reference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from pipelines.rewards.answers.numerals import TENS, UNITS
from pipelines.rewards.rules.phrase_answer import Meaning, matches, parse_reference

STOP = frozenset(("need", "needs", "what", "do", "both", "and"))


def number_in_words(value: int) -> str:
    """Returns `value` (0 to 99) in English words."""
    return (
        UNITS[value]
        if value < 20
        else TENS[value // 10 - 2] + (f"-{UNITS[value % 10]}" if value % 10 else "")
    )


def paraphrases(reference: str) -> list[str]:
    """Returns right answers, the reference first. Raises ValueError for a reference of no known form."""
    meant = _known_meaning(reference)
    return list(dict.fromkeys([reference, *_right_answers(meant)]))


def near_misses(question: str, reference: str, rng: Random) -> list[str]:
    """Returns wrong answers close to the reference, with words of the question. Raises ValueError as
    `paraphrases`.
    """
    meant = _known_meaning(reference)
    answers = [
        wrong for wrong in _wrong_answers(meant, question, rng) if not matches(question, reference, wrong)
    ]
    return list(dict.fromkeys(answers))


def _known_meaning(reference: str) -> Meaning:
    meant = parse_reference(reference)
    if meant is None:
        raise ValueError(f"the reference {reference[:60]!r} has none of the known forms")
    return meant


def _right_answers(meant: Meaning) -> list[str]:
    values = meant.values
    if meant.kind == "holder":
        name, thing = values
        return [
            name,
            f"the {thing} is with {name}",
            f"it is {name} who has the {thing}",
            f"{name} has the {thing} now",
            f"{name} has it",
            f"the {thing} belongs to {name}",
        ]
    if meant.kind == "order":
        return [
            ", ".join(values),
            " before ".join(values),
            " after ".join(values[::-1]),
            f"the {', then the '.join(values)}",
        ]
    if meant.kind == "amount":
        value, unit = int(values[0]), values[1]
        return [
            f"{value} {unit}",
            f"{value}",
            f"it costs {number_in_words(value)} {unit}",
            f"the price is {value} {unit}",
        ]
    if meant.kind == "rule":
        return _rule_forms(values[0] == "yes", values[1])
    return [
        _joined(values),
        _joined(values[::-1]),
        f"both need {_joined(values[::-1])}",
        f"they need {_joined(values)}",
    ]


def _wrong_answers(meant: Meaning, question: str, rng: Random) -> list[str]:
    values, answers = meant.values, []
    if meant.kind == "holder":
        name, thing = values
        others = sorted(set(re.findall(r"\b[A-Z][a-z]+\b", question)) - {name, "Who"})
        for other in others:
            answers += [
                f"{other} has the {thing}",
                other,
                f"the {thing} is with {other}",
                f"{name} or {other}",
                f"{name} has the {thing}, not {other}",
            ]
        answers += [f"not {name}", f"{name} does not have the {thing}", f"{name} gave the {thing} away"]
    elif meant.kind == "order":
        swapped = list(values)
        place = rng.randrange(len(values) - 1)
        swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
        answers += [
            _sequence(swapped),
            ", ".join(swapped),
            " before ".join(values[::-1]),
            " after ".join(values),
            _sequence(values[:-1]),
        ]
        answers += [_sequence(values[::-1]), f"not {_sequence(values)}"]
    elif meant.kind == "amount":
        value, unit = int(values[0]), values[1]
        for other in {value + 1, value - 1, value + 10, abs(value - 10), value * 2} - {value}:
            answers += [f"{other} {unit}", f"it costs {other} {unit}"] + (
                [f"{number_in_words(other)} {unit}"] if 0 <= other < 100 else []
            )
        answers += [
            f"{value} or {value + 1} {unit}",
            f"not {value} {unit}",
            f"-{value} {unit}",
            f"more than {value} {unit}",
        ]
    elif meant.kind == "rule":
        answers += _rule_forms(values[0] != "yes", values[1])
        answers += [
            "yes and no",
            f"yes, {values[1]} are not allowed there",
            f"no, {values[1]} are allowed there",
            "maybe",
        ]
    else:
        others = sorted(set(re.findall(r"\b[a-z]+\b", question)) - set(values) - STOP)
        for other in rng.sample(others, min(3, len(others))):
            answers += [
                f"both need {_joined([*values, other])}",
                f"both need {_joined([*values[:-1], other])}",
            ]
        if len(values) > 1:
            answers.append(f"both need {_joined(values[:-1])}")
        answers += [f"both do not need {_joined(values)}", f"not {_joined(values)}"]
    return answers


def _rule_forms(allowed: bool, animals: str) -> list[str]:
    if allowed:
        return [
            "yes",
            f"{animals} are allowed there",
            "yes, that is allowed",
            "yes, they may",
            f"yes, {animals} are allowed there",
        ]
    return [
        "no",
        f"{animals} are not allowed there",
        "that is forbidden",
        "no, they may not",
        f"no, {animals} are forbidden there",
    ]


def _sequence(values: Sequence[str]) -> str:
    return f"first the {', then the '.join(values)}"


def _joined(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} and {values[-1]}"
