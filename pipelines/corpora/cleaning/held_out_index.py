"""An index of held-out questions to look other texts up in: their n-grams, and the questions that are too
short to have one.

An n-gram is a run of words, or of characters in scripts without spaces; each script has its own length,
whatever the rest of the text is written in. A text contains a short question where the question occurs in it
as a whole, surrounded by other words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.corpora.cleaning.canonical import canonical_form
from pipelines.corpora.cleaning.units import (
    IDEOGRAPH,
    LETTER,
    SYMBOLS,
    WORD,
    Hashes,
    Indices,
    Units,
    casefolded,
    units,
)

# symbols and words of the shortest question that is looked for inside others; shorter ones occur everywhere
MIN_SYMBOLS = 4
MIN_CHARACTERS = 10  # or characters, if it has no letters to speak of
CLOSING = frozenset("?!.,;:…'\")]}»。，、；：？！”’」』`*_$\\")
STOPS = "?!.。？！"
# words that continue a formula or a condition: the text before them is not the complete question
CONNECTIVES = """
    plus minus times divided multiplied modulo mod over raised squared cubed and or if when where while
    with given of in on at from than
    that which per until between by to as the
"""
CONTINUATIONS = frozenset(CONNECTIVES.split())
PARTICLES = "呢吗啊呀吧嘛么请答解谢か？?"
SENTENCE_END = re.compile(rf"[\s{re.escape(STOPS)}]+\Z")


@dataclass(frozen=True)
class Sizes:
    """Lengths of an n-gram: `words`, or `characters` of Chinese and Japanese, twice as many of alphabets
    without spaces.
    """

    words: int
    characters: int

    def grams(self, text_units: Units) -> tuple[Hashes, Indices]:
        """Returns the hash of every n-gram, and the index of the text that it is from. Each run belongs to
        the script of most of its units.
        """
        hashes, owners = [], []
        for kind, size in ((WORD, self.words), (IDEOGRAPH, self.characters), (LETTER, 2 * self.characters)):
            runs, begins = text_units.runs(size)
            if len(runs):
                of_kind = 2 * text_units.count(kind, size, begins) >= size
                hashes.append(runs[of_kind])
                owners.append(text_units.owners(begins[of_kind]))
        return (
            (np.concatenate(hashes), np.concatenate(owners))
            if hashes
            else (np.empty(0, np.uint64), np.empty(0, np.int64))
        )


class HeldOutIndex:
    """Filled with the held-out questions in portions (`add`), closed once (`close`), then queried."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self._grams: list[Hashes] = []
        self._short: dict[int, list[Hashes]] = {}
        self._of_length: dict[int, Hashes] = {}
        self._forms: dict[int, set[str]] = {}
        self.grams: Hashes = np.empty(0, np.uint64)

    def add(self, texts: Sequence[str]) -> None:
        """Adds a portion of held-out questions."""
        hashes, owners = self.sizes.grams(units(texts, WORDS_ONLY))
        self._grams.append(np.unique(hashes))
        has_no_gram = np.ones(len(texts), bool)
        has_no_gram[owners] = False
        for index in np.flatnonzero(has_no_gram).tolist():
            question = SENTENCE_END.sub("", casefolded(texts[index]))
            if _is_distinctive(question):
                question_units = units([question])
                runs, _ = question_units.runs(len(question_units.hashes))
                self._short.setdefault(len(question_units.hashes), []).append(runs)
                self._forms.setdefault(int(runs[0]), set()).add(canonical_form(texts[index]))

    def close(self) -> None:
        """Ends the filling: must be called after the last portion and before the first query."""
        self.grams = np.unique(np.concatenate(self._grams)) if self._grams else self.grams
        self._of_length = {
            length: np.unique(np.concatenate(runs)) for length, runs in sorted(self._short.items())
        }
        self._grams, self._short = [], {}

    def shared(self, texts: Sequence[str]) -> tuple[Indices, Indices]:
        """Returns (text, index in `grams`) of every n-gram that is in the index, each once per text."""
        hashes, owners = self.sizes.grams(units(texts, WORDS_ONLY))
        is_known, indices = _lookup(hashes, self.grams)
        pairs = (
            np.unique(np.stack([owners[is_known], indices[is_known]]), axis=1)
            if len(indices)
            else np.empty((2, 0), np.int64)
        )
        return pairs[0], pairs[1]

    def contained(self, texts: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Yields (text, hash) of every short question that a text contains as a whole; the hash identifies
        the question.
        """
        if not self._of_length:
            return
        text_units = units(texts)
        for length, known in self._of_length.items():
            runs, begins = text_units.runs(length)
            is_known, _ = _lookup(runs, known)
            for run, begin in zip(runs[is_known].tolist(), begins[is_known].tolist(), strict=True):
                text = int(text_units.owners(np.array([begin]))[0])
                first = begin - int(text_units.starts[text])
                if (
                    _stands_alone(texts[text], first, length)
                    and _form_of(texts[text], first, length) in self._forms[run]
                ):
                    yield text, run


WORDS_ONLY = re.compile(SYMBOLS.pattern.rpartition("|")[0])


def _lookup(hashes: Hashes, known: Hashes) -> tuple[NDArray[np.bool_], Indices]:
    """Returns which of `hashes` are in the sorted `known`, and their indices there."""
    if not len(known) or not len(hashes):
        return np.zeros(len(hashes), bool), np.zeros(len(hashes) if len(known) else 0, np.int64)
    indices = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return known[indices] == hashes, indices


def _is_distinctive(question: str) -> bool:
    """Returns whether a question is long enough to be looked for inside other texts."""
    symbols = SYMBOLS.findall(question)
    return len(symbols) >= MIN_SYMBOLS and (
        len("".join(symbols)) >= MIN_CHARACTERS or any(not symbol.isascii() for symbol in symbols)
    )


def _stands_alone(text: str, first_unit: int, length: int) -> bool:
    """Returns whether the run of units is a complete question within the text: no formula, number or
    condition continues it before or after.
    """
    matches = list(SYMBOLS.finditer(casefolded(text)))
    form = matches[0].string
    start, end = matches[first_unit].start(), matches[first_unit + length - 1].end()
    preceding, following = form[:start].rstrip(" \t"), form[end:]
    if preceding and not (
        _is_word(matches[first_unit].group()) or preceding[-1] in CLOSING or preceding[-1] in "\n([{\"'“‘「"
    ):
        return False
    if re.match(r"[.,:/]?[0-9]|[(\[{^_]", following):  # 3+4.5, f(2)(3): the formula is longer
        return False
    following_text = following.lstrip(" \t")
    if not following_text or following_text[0] in CLOSING or following_text[0] == "\n":
        return True
    next_symbol = SYMBOLS.match(following_text)
    word = next_symbol.group() if next_symbol else following_text[0]
    if not word[0].isascii() and not word.isalnum():
        return False
    if (
        SYMBOLS.match(word)
        and len(word) == 1
        and re.match(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0eff]", word)
    ):
        return word in PARTICLES or length >= 12
    return len(word) > 1 and word.isalpha() and word not in CONTINUATIONS


def _form_of(text: str, first_unit: int, length: int) -> str:
    """Returns the canonical form of a run of units as it is written, with the punctuation after it: runs that
    differ in case, spaces, powers or a factorial may be different questions. Empty where case folding moves
    letters over the border of a unit.
    """
    spans = [
        match.span() for match in SYMBOLS.finditer(text) for _ in SYMBOLS.findall(casefolded(match.group()))
    ]
    if first_unit + length > len(spans):
        return ""
    start, end = spans[first_unit][0], spans[first_unit + length - 1][1]
    following = text[end:]
    return canonical_form(text[start:end] + following[: len(following) - len(following.lstrip(STOPS))])


def _is_word(unit: str) -> bool:
    return unit[0].isalpha()
