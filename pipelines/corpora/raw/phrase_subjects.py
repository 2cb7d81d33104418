"""The subjects of the embedded multi-subject set: each draws a problem, asks it, returns its key, and answers
in a phrase or a sentence.

Five fields of study in miniature: who holds a thing (law), what came first (history), what it costs
(economics), what a rule allows (politics), what two kinds of animals need (biology). The working is short on
purpose: models of under a million parameters learn it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

Lexicon = Mapping[str, Sequence[str]]
ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"


@dataclass(frozen=True)
class PhraseProblem:
    """A drawn problem. `answer`: in its one canonical form; `steps`: the working; equal keys are the same
    problem.
    """

    question: str
    answer: str
    steps: str
    key: str


def holder(rng: Random, level: int, lexicon: Lexicon) -> PhraseProblem:
    """Draws a problem in which a thing is handed on `level` times."""
    thing = rng.choice(lexicon["thing"])
    people = [rng.choice(lexicon["name"])]
    for _ in range(level):
        people.append(rng.choice([name for name in lexicon["name"] if name != people[-1]]))
    handed = "".join(f" {giver} gives it to {taker}." for giver, taker in pairwise(people))
    return PhraseProblem(
        f"{people[0]} has the {thing}.{handed} Who has the {thing}?",
        f"{people[-1]} has the {thing}",
        " ".join(people),
        f"holder:{'>'.join(people)}",
    )


def order(rng: Random, level: int, lexicon: Lexicon) -> PhraseProblem:
    """Draws `level` + 1 places with an order by age; the comparisons are in any order."""
    places = rng.sample(lexicon["place"], min(level + 1, len(lexicon["place"])))
    comparisons = [
        f"The {old} is older than the {new}." if rng.random() < 0.5 else f"The {new} is newer than the {old}."
        for old, new in pairwise(places)
    ]
    rng.shuffle(comparisons)
    return PhraseProblem(
        f"{' '.join(comparisons)} In what order?",
        f"first the {', then the '.join(places)}",
        " ".join(places),
        f"order:{'>'.join(places)}",
    )


def amount(rng: Random, level: int, lexicon: Lexicon) -> PhraseProblem:
    """Draws a price; `level` widens the range of the factors, up to 9 x 9."""
    largest = min(9, 3 + 2 * level)
    number, price, unit = rng.randint(2, largest), rng.randint(2, largest), rng.choice(lexicon["unit"])
    question = f"{number} {rng.choice(lexicon['thing'])}s at {price} {unit} each. What is the price?"
    return PhraseProblem(
        question,
        f"{in_words(number * price)} {unit}",
        f"{number}*{price}={number * price}",
        f"amount:{min(number, price)}*{max(number, price)}",
    )


def rule(rng: Random, level: int, lexicon: Lexicon) -> PhraseProblem:
    """Draws `level` rules on who may be where; the question falls under one of them or none."""
    rules: list[tuple[str, str]] = []
    while len(rules) < level:
        new_rule = (rng.choice(lexicon["animal"]), rng.choice(lexicon["place"]))
        if new_rule not in rules:
            rules.append(new_rule)
    animals, place = rng.choice(rules)
    if rng.random() < 0.5:
        place = rng.choice([other for other in lexicon["place"] if (animals, other) not in rules])
    allowed = (animals, place) not in rules
    question = (
        " ".join(f"No {kind} in the {where}." for kind, where in rules) + f" May {animals} go to the {place}?"
    )
    answer = f"yes, {animals} are allowed there" if allowed else f"no, {animals} are not allowed there"
    key = f"rule:{';'.join(sorted(f'{kind} {where}' for kind, where in rules))}?{animals} {place}"
    return PhraseProblem(question, answer, f"{animals} {place} {'yes' if allowed else 'no'}", key)


def both(rng: Random, level: int, lexicon: Lexicon) -> PhraseProblem:
    """Draws the needs of two kinds of animals: `level` things in common (at most 3), and one more each."""
    common = min(level, 3)
    needs = rng.sample(lexicon["need"], common + 2)
    shared, others = needs[:common], needs[common:]
    first, second = rng.sample(lexicon["animal"], 2)
    lists = [[*shared, others[0]], [*shared, others[1]]]
    for needs_of_kind in lists:
        rng.shuffle(needs_of_kind)
    shared.sort()
    statements = " ".join(
        f"{kind.capitalize()} need {join_words(needs_of_kind)}."
        for kind, needs_of_kind in zip((first, second), lists, strict=True)
    )
    return PhraseProblem(
        f"{statements} What do both need?",
        f"both need {join_words(shared)}",
        " ".join(shared),
        f"both:{','.join(shared)}|{','.join(sorted(others))}",
    )


def in_words(value: int) -> str:
    """Returns a number from 0 to 99 in words."""
    ones, tens = ONES.split(), TENS.split()
    return (
        ones[value] if value < 20 else tens[value // 10 - 2] + (f"-{ones[value % 10]}" if value % 10 else "")
    )


def join_words(words: Sequence[str]) -> str:
    """Returns `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


SUBJECTS: Mapping[str, Callable[[Random, int, Lexicon], PhraseProblem]] = {
    "holder": holder,
    "order": order,
    "amount": amount,
    "rule": rule,
    "both": both,
}
FIELDS = {
    "holder": "social_sciences",
    "order": "humanities",
    "amount": "social_sciences",
    "rule": "social_sciences",
    "both": "stem",
}
