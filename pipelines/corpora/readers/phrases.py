"""The embedded multi-subject set: generated questions whose reference answers are phrases and sentences, so
that rules and models differ.

A share of the demonstrations states the answer alone, the rest write the working first.
`pipelines/rewards/rules/phrase_answer.py` is its exact checker, and `phrase_variants` there makes right and
nearly right answers for the training of verifiers.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from random import Random
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.raw.lexicon import read_words
from pipelines.corpora.raw.phrase_subjects import FIELDS, SUBJECTS, Lexicon
from pipelines.corpora.raw.problem import Problem, Reading, Role
from pipelines.corpora.raw.published import MARKER
from pipelines.corpora.readers.options import PhrasesSource

KINDS = ("name", "thing", "place", "animal", "need", "unit")
MIN_WORDS = 5  # words of a kind: the subjects draw several different ones
TRIES = 300  # draws without a new problem after which a subject and level counts as used up


def read(source: PhrasesSource, reading: Reading) -> Iterator[Problem]:
    """Yields problems of all roles, each role drawn from its own generator: changing n_rl does not change the
    demonstrations.
    """
    lexicon = read_lexicon(source, reading)
    for role, side, number in source.sizes:
        yield from _draw_role(source, reading, lexicon, role, side, number)


def read_lexicon(source: PhrasesSource, reading: Reading) -> Lexicon:
    """Returns the words by kind, sorted. Bad rows count against the corpus' limit. Raises ValueError when a
    kind has too few words.
    """
    path = reading.path(source.lexicon)
    words = read_words(path, KINDS, reading.ledger, _fault)
    short_kinds = [
        kind
        for kind, words_of_kind in words.items()
        if len(words_of_kind) < (1 if kind == "unit" else MIN_WORDS)
    ]
    if short_kinds:
        raise ValueError(
            f"{path} holds fewer than {MIN_WORDS} words (unit: 1) of kind {', '.join(short_kinds)}; add rows "
            f"{{kind, word}}"
        )
    return words


def _fault(_: str, word: Any) -> str:
    fine = isinstance(word, str) and word.isascii() and word.isalpha()
    return "" if fine else f"word must be ASCII letters only, not {word!r}"


def _draw_role(
    source: PhrasesSource, reading: Reading, lexicon: Lexicon, role: Role, side: Side, number: int
) -> Iterator[Problem]:
    rng = Random(f"phrases:{reading.seed}:{role}")
    levels = source.sft_levels if role == "sft" else source.rl_levels
    subjects = [name for name in source.subjects if role not in ("sft", "rl") or name not in source.unseen]
    cells = [(subject, level) for level in levels for subject in subjects]
    remaining_cells, turns, questions = set(cells), cycle(cells), set[str]()
    while len(questions) < number:
        if not remaining_cells:
            raise ValueError(
                f"source {reading.name}: only {len(questions)} different {role} problems exist, {number} "
                f"were asked for; "
                f"lower n_{role}, or widen the levels, the subjects or the lexicon"
            )
        subject, level = next(turns)
        if (subject, level) not in remaining_cells:
            continue
        for _ in range(TRIES):
            problem = SUBJECTS[subject](rng, level, lexicon)
            if reading.shares.side(problem.key) == side and problem.question not in questions:
                questions.add(problem.question)
                terse = rng.random() < source.terse
                solution = (
                    None
                    if role != "sft"
                    else f"{MARKER}{problem.answer}"
                    if terse
                    else f"{problem.steps}\n{MARKER}{problem.answer}"
                )
                meta = {"field": FIELDS[subject]} | ({"terse": terse} if role == "sft" else {})
                yield Problem(
                    problem.question, problem.answer, role, subject, solution, level, problem.key, meta
                )
                break
        else:
            remaining_cells.remove((subject, level))
