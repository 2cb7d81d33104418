"""The embedded exam: several subjects with levels, worked steps and an exact answer, generated from a seed
and a small lexicon.

A share of the demonstrations gives the bare answer, the rest write the working. Demonstrations are on the
lower levels, RL prompts and the validation and held-out problems on all of them. So SFT answers tersely and
often wrongly, and RL can discover that writing the steps pays.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from random import Random
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.raw.exam_subjects import SUBJECTS, ExamProblem, Lexicon, Ranges
from pipelines.corpora.raw.lexicon import read_words
from pipelines.corpora.raw.problem import Problem, Reading, Role
from pipelines.corpora.raw.published import MARKER
from pipelines.corpora.readers.options import ExamSource

KINDS = ("name", "thing", "gain", "loss")
TRIES = 300  # draws without a new problem after which a subject and level counts as used up


def read(source: ExamSource, reading: Reading) -> Iterator[Problem]:
    """Yields problems of all roles, each role drawn from its own generator: changing n_rl does not change the
    demonstrations.
    """
    lexicon = read_lexicon(source, reading)
    for role, side, number in source.sizes:
        levels = source.sft_levels if role == "sft" else source.rl_levels
        yield from draw_role(source, reading, lexicon, role, side, number, levels)


def read_lexicon(source: ExamSource, reading: Reading) -> Lexicon:
    """Returns the words by kind, sorted: the order of the file does not matter. Bad rows count against the
    corpus' limit. Raises ValueError when a kind has no word.
    """
    path = reading.path(source.lexicon)
    words = read_words(path, KINDS, reading.ledger, _fault)
    empty = [kind for kind, words_of_kind in words.items() if not words_of_kind]
    if empty:
        raise ValueError(f"{path} holds no word of kind {', '.join(empty)}; add rows {{kind, word}}")
    return words


def _fault(_: str, word: Any) -> str:
    fine = isinstance(word, str) and word.isalpha()
    return "" if fine else f"word must be letters only, not {word!r}"


def draw_role(
    source: ExamSource,
    reading: Reading,
    lexicon: Lexicon,
    role: Role,
    side: Side,
    number: int,
    levels: tuple[int, ...],
) -> Iterator[Problem]:
    """Yields `number` different questions whose keys are on `side`, subjects and levels in turn. Raises
    ValueError when all of them are exhausted.
    """
    rng = Random(f"exam:{reading.seed}:{role}")
    ranges = Ranges(source.start_max, source.operand_max, source.operations, source.letters)
    cells = [(subject, level) for level in levels for subject in source.subjects]
    questions: set[str] = set()
    turns = cycle(cells)
    remaining_cells = set(cells)
    while len(questions) < number:
        if not remaining_cells:
            raise ValueError(
                f"source {reading.name}: only {len(questions)} different {role} problems exist, {number} "
                f"were asked for; "
                f"lower n_{role}, or widen start_max, operand_max, lengths or subjects"
            )
        subject, level = next(turns)
        if (subject, level) not in remaining_cells:
            continue
        for _ in range(TRIES):
            kind = SUBJECTS[subject]
            item = kind.draw(rng, level + source.lengths[subject], ranges)
            key = kind.key(item)
            if reading.shares.side(key) != side:
                continue
            question = kind.ask(item, rng, lexicon)
            if question not in questions:
                questions.add(question)
                yield _problem(source, subject, level, item, question, key, role, rng)
                break
        else:
            remaining_cells.remove((subject, level))


def _problem(
    source: ExamSource,
    subject: str,
    level: int,
    item: ExamProblem,
    question: str,
    key: str,
    role: Role,
    rng: Random,
) -> Problem:
    _, answer = SUBJECTS[subject].work(item, int)
    solution, meta = None, {}
    if role == "sft":
        terse = rng.random() < source.terse
        steps, final = SUBJECTS[subject].work(item, lambda value: _slip(value, source.slip, rng))
        solution = f"{MARKER}{answer}" if terse else "\n".join([*steps, f"{MARKER}{final}"])
        meta = {"terse": terse, "right": terse or final == answer}
    return Problem(question, answer, role, subject, solution, level, key, meta)


def _slip(value: int, chance: float, rng: Random) -> int:
    if not chance or rng.random() >= chance:
        return value
    return max(0, value + rng.choice((-10, -2, -1, 1, 2, 10)))
