"""One-step word problems with small numbers, generated from a file of wordings: for pretrained models, which
know the words, and of which small ones fail at the step.

The wording decides the side of a problem, so that held-out problems are asked in words that nothing was
trained on. Demonstrations are the working in one line and the marked answer: `8 - 3 = 5`, `#### 5`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from random import Random
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.raw.lexicon import read_words
from pipelines.corpora.raw.problem import Problem, Reading, Role
from pipelines.corpora.raw.published import MARKER
from pipelines.corpora.readers.options import WordProblemsSource

NAMES = {"+": "addition", "-": "subtraction", "*": "multiplication", "/": "division"}  # the subjects
KINDS = (*NAMES, "name", "thing")
PLACES = ("{a}", "{b}")  # that every wording has
TRIES = 300  # draws without a new problem after which there is none

Words = Mapping[str, Sequence[str]]


def read(source: WordProblemsSource, reading: Reading) -> Iterator[Problem]:
    """Yields problems of all roles, each role drawn from its own generator: changing n_rl does not change the
    demonstrations.
    """
    words = read_wordings(source, reading)
    for role, side, number in source.sizes:
        yield from _draw_role(source, reading, words, role, side, number)


def read_wordings(source: WordProblemsSource, reading: Reading) -> Words:
    """Returns wordings by operation, names and things, sorted: the order of the file does not matter. Bad
    rows count against the corpus' limit. Raises ValueError when a kind has too few.
    """
    path = reading.path(source.words)
    words = read_words(path, KINDS, reading.ledger, _fault)
    short = [kind for kind in (*source.operations, "name", "thing") if len(words[kind]) < 2]
    if short:
        raise ValueError(
            f"{path} holds fewer than two words of kind {', '.join(short)}; add rows {{kind, word}}"
        )
    return words


def _fault(kind: str, word: Any) -> str:
    """Returns what is wrong with a word, or with the wording of an operation; empty for nothing."""
    if not isinstance(word, str) or not word.strip():
        return f"word must be a text, not {word!r}"
    return _wording_fault(word) if kind in NAMES else ""


def _wording_fault(wording: str) -> str:
    if missing := [place for place in PLACES if place not in wording]:
        return f"a wording needs {' and '.join(missing)}"
    try:
        wording.format(a=1, b=2, name="", other="", thing="")
    except (KeyError, IndexError, ValueError) as error:
        return f"a wording knows {{a}}, {{b}}, {{name}}, {{other}} and {{thing}}: {error}"
    return ""


def _draw_role(
    source: WordProblemsSource, reading: Reading, words: Words, role: Role, side: Side, number: int
) -> Iterator[Problem]:
    """Yields `number` different questions in the wordings of `side`, operations in turn. Raises ValueError
    when there are no more.
    """
    rng = Random(f"word_problems:{reading.seed}:{role}")
    wordings = {
        operation: [wording for wording in words[operation] if reading.shares.side(wording) == side]
        for operation in source.operations
    }
    if number and (without := [operation for operation, own in wordings.items() if not own]):
        raise ValueError(
            f"source {reading.name}: no wording of {', '.join(without)} falls to {side}; add wordings to "
            f"{source.words}, or change heldout_share and validation_share"
        )
    questions: set[str] = set()
    turns = cycle(source.operations)
    for _ in range(number):
        operation = next(turns)
        for _ in range(TRIES):
            first, second, result = draw(operation, source.operand_max, rng)
            wording = rng.choice(wordings[operation])
            name, other = rng.sample(list(words["name"]), 2)
            thing = rng.choice(words["thing"])
            question = wording.format(a=first, b=second, name=name, other=other, thing=thing)
            if question not in questions:
                break
        else:
            raise ValueError(
                f"source {reading.name}: only {len(questions)} different {role} problems were found, "
                f"{number} were asked for; lower n_{role}, raise operand_max, or add wordings to "
                f"{source.words}"
            )
        questions.add(question)
        working = f"{first} {operation} {second} = {result}\n{MARKER}{result}"
        yield Problem(
            question,
            str(result),
            role,
            NAMES[operation],
            working if role == "sft" else None,
            key=wording,
        )


def draw(operation: str, operand_max: int, rng: Random) -> tuple[int, int, int]:
    """Returns two numbers in [2, operand_max] and the result, a whole number of at least 1; the first is the
    larger one in differences, and a multiple of the second in quotients.
    """
    if operation == "/":
        second = rng.randint(2, operand_max // 2)
        result = rng.randint(2, operand_max // second)
        return second * result, second, result
    first, second = rng.randint(2, operand_max), rng.randint(2, operand_max)
    if operation == "-":
        first = rng.randint(3, operand_max)
        second = rng.randint(2, first - 1)
        return first, second, first - second
    return first, second, first + second if operation == "+" else first * second
