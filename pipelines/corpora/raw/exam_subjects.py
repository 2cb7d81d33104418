"""The subjects of the embedded exam: each draws a problem, words it, returns its canonical chain, and works
it out step by step.

The split is by the canonical chain: the same sum about other people and things, or the same word with other
letters, is the same problem. Steps are short on purpose: a model of 0.4M parameters learns them in a minute
on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

Slip = Callable[[int], int]  # returns what is written for a result: the result itself, or a mistake
Lexicon = Mapping[str, Sequence[str]]
Moves = tuple[tuple[str, int], ...]
ALPHABET = "abcdefgh"
HOURS = 12


@dataclass(frozen=True)
class Ranges:
    """`start_max`: largest first number; `operand_max`: largest operand; `operations` of `chain`; `letters`
    of `count`.
    """

    start_max: int
    operand_max: int
    operations: str
    letters: int


@dataclass(frozen=True)
class ExamProblem:
    """One drawn problem: a start value and moves (chains), or values (count: the index of the requested
    letter first; max).
    """

    start: int = 0
    moves: Moves = ()
    values: tuple[int, ...] = ()


class Subject(Protocol):
    """A kind of problem. `size`: the number of its operations, letters or numbers."""

    def draw(self, rng: Random, size: int, ranges: Ranges) -> ExamProblem:
        """Draws a problem."""
        ...

    def ask(self, item: ExamProblem, rng: Random, lexicon: Lexicon) -> str:
        """Returns the question, with words drawn from the lexicon."""
        ...

    def key(self, item: ExamProblem) -> str:
        """Returns the split key: equal for problems with the same canonical chain."""
        ...

    def work(self, item: ExamProblem, slip: Slip) -> tuple[list[str], str]:
        """Returns the written steps and the answer that they lead to; where `slip` changes a result, the
        mistake is carried on.
        """
        ...


def apply_operation(value: int, operation: str, operand: int) -> int:
    """Returns `value` after one operation."""
    return value + operand if operation == "+" else value - operand if operation == "-" else value * operand


def expression(item: ExamProblem) -> str:
    """Returns the problem as an expression, such as `7+3-5`."""
    return str(item.start) + "".join(f"{operation}{operand}" for operation, operand in item.moves)


def work_moves(item: ExamProblem, slip: Slip, wrap: Callable[[int], int] = int) -> tuple[list[str], str]:
    """Returns the written steps of a chain and its result. `wrap` maps every result, for example to its last
    digit.
    """
    steps, value = [], item.start
    for operation, operand in item.moves:
        result = wrap(slip(wrap(apply_operation(value, operation, operand))))
        steps.append(f"{value}{operation}{operand}={result}")
        value = result
    return steps, str(value)


class Chain:
    """`7+3-5 mod 10?`: one digit carried through additions and subtractions (and products, if requested)."""

    def draw(self, rng: Random, size: int, ranges: Ranges) -> ExamProblem:
        operand_max = min(9, ranges.operand_max)
        return ExamProblem(
            rng.randint(0, 9),
            tuple((rng.choice(ranges.operations), rng.randint(1, operand_max)) for _ in range(size)),
        )

    def ask(self, item: ExamProblem, rng: Random, lexicon: Lexicon) -> str:
        return f"{expression(item)} mod 10?"

    def key(self, item: ExamProblem) -> str:
        return f"mod10:{expression(item)}"

    def work(self, item: ExamProblem, slip: Slip) -> tuple[list[str], str]:
        return work_moves(item, slip, lambda value: value % 10)


class Add:
    """`23+4+7?`"""

    def draw(self, rng: Random, size: int, ranges: Ranges) -> ExamProblem:
        return ExamProblem(
            rng.randint(2, ranges.start_max),
            tuple(("+", rng.randint(2, ranges.operand_max)) for _ in range(size)),
        )

    def ask(self, item: ExamProblem, rng: Random, lexicon: Lexicon) -> str:
        return f"{expression(item)}?"

    def key(self, item: ExamProblem) -> str:
        return f"sum:{expression(item)}"  # shared with money: the same sum in words is no new problem

    def work(self, item: ExamProblem, slip: Slip) -> tuple[list[str], str]:
        return work_moves(item, slip)


class Money:
    """`Ann has 12 coins, finds 5, loses 3. How many?`: results stay between 0 and the largest
    first number.
    """

    def draw(self, rng: Random, size: int, ranges: Ranges) -> ExamProblem:
        start = value = rng.randint(2, ranges.start_max)
        moves: list[tuple[str, int]] = []
        for _ in range(size):
            legal = [
                ("+", operand) for operand in range(2, min(ranges.operand_max, ranges.start_max - value) + 1)
            ]
            legal += [("-", operand) for operand in range(2, min(ranges.operand_max, value) + 1)]
            moves.append(rng.choice(legal))
            value = apply_operation(value, *moves[-1])
        return ExamProblem(start, tuple(moves))

    def ask(self, item: ExamProblem, rng: Random, lexicon: Lexicon) -> str:
        name, thing = rng.choice(lexicon["name"]), rng.choice(lexicon["thing"])
        verbs = [
            f"{rng.choice(lexicon['gain' if operation == '+' else 'loss'])} {operand}"
            for operation, operand in item.moves
        ]
        return f"{name} has {item.start} {thing}, {', '.join(verbs)}. How many?"

    def key(self, item: ExamProblem) -> str:
        return f"sum:{expression(item)}"

    def work(self, item: ExamProblem, slip: Slip) -> tuple[list[str], str]:
        return work_moves(item, slip)


class Clock:
    """`It is 9. 5 hours pass. 7 hours pass. What hour?` on a face of twelve hours."""

    def draw(self, rng: Random, size: int, ranges: Ranges) -> ExamProblem:
        return ExamProblem(
            rng.randint(1, HOURS), tuple(("+", rng.randint(2, HOURS - 1)) for _ in range(size))
        )

    def ask(self, item: ExamProblem, rng: Random, lexicon: Lexicon) -> str:
        return (
            f"It is {item.start}."
            + "".join(f" {operand} hours pass." for _, operand in item.moves)
            + " What hour?"
        )

    def key(self, item: ExamProblem) -> str:
        return f"clock:{expression(item)}"

    def work(self, item: ExamProblem, slip: Slip) -> tuple[list[str], str]:
        return work_moves(item, slip, lambda value: (value - 1) % HOURS + 1)


class Count:
    """`count b in b a c b?`: the working writes each letter with the count so far. The letters are separated
    by spaces, a token each.
    """

    def draw(self, rng: Random, size: int, ranges: Ranges) -> ExamProblem:
        used = rng.sample(range(len(ALPHABET)), ranges.letters)
        return ExamProblem(values=(rng.choice(used), *(rng.choice(used) for _ in range(size))))

    def ask(self, item: ExamProblem, rng: Random, lexicon: Lexicon) -> str:
        asked, *word = (ALPHABET[value] for value in item.values)
        return f"count {asked} in {' '.join(word)}?"

    def key(self, item: ExamProblem) -> str:
        order: dict[int, str] = {}
        return "count:" + "".join(order.setdefault(value, ALPHABET[len(order)]) for value in item.values)

    def work(self, item: ExamProblem, slip: Slip) -> tuple[list[str], str]:
        asked, *word = item.values
        count, steps = 0, []
        for value in word:
            count = slip(count + (value == asked))
            steps.append(f"{ALPHABET[value]}{count}")
        return ["".join(steps)], str(count)


class Largest:
    """`max of 34 71 12?`: the working compares the largest number so far with each next one."""

    def draw(self, rng: Random, size: int, ranges: Ranges) -> ExamProblem:
        return ExamProblem(values=tuple(rng.sample(range(10, 100), size)))

    def ask(self, item: ExamProblem, rng: Random, lexicon: Lexicon) -> str:
        return f"max of {' '.join(map(str, item.values))}?"

    def key(self, item: ExamProblem) -> str:
        return "max:" + " ".join(map(str, sorted(item.values)))

    def work(self, item: ExamProblem, slip: Slip) -> tuple[list[str], str]:
        best, steps = item.values[0], []
        for value in item.values[1:]:
            larger = max(best, value)
            steps.append(f"{best}{'<' if best < value else '>'}{value}")
            # a slip continues with the wrong one of the two
            best = larger if slip(larger) == larger else min(best, value)
        return steps, str(best)


SUBJECTS: Mapping[str, Subject] = {
    "chain": Chain(),
    "add": Add(),
    "money": Money(),
    "clock": Clock(),
    "count": Count(),
    "max": Largest(),
}
