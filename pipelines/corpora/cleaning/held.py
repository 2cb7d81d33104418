"""What a set of put-aside questions holds, to look other texts up in: its n-grams, and its questions too
short to have one.

An n-gram is a run of words; of characters in scripts without blanks; of each script its own length, whatever
the rest of the text is written in. A short question counts as held where it stands in a text as a whole, with
other words around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.corpora.cleaning.canonical import comparable
from pipelines.corpora.cleaning.units import (
    IDEOGRAPH,
    LETTER,
    SYMBOLS,
    WORD,
    Hashes,
    Places,
    Units,
    folded,
    units,
)

LEAST = 4  # symbols and words of the shortest question that is looked for inside others; fewer are everywhere
LEAST_CHARACTERS = 10  # or characters, if it has no letters to speak of
CLOSING = frozenset("?!.,;:…'\")]}»。，、；：？！”’」』`*_$\\")
STOPS = "?!.。？！"
# words that go on with a formula or a condition: what stands before them is another question
CONNECTIVES = """
    plus minus times divided multiplied modulo mod over raised squared cubed and or if when where while
    with given of in on at from than
    that which per until between by to as the
"""
GOING_ON = frozenset(CONNECTIVES.split())
PARTICLES = "呢吗啊呀吧嘛么请答解谢か？?"
SENTENCE_END = re.compile(rf"[\s{re.escape(STOPS)}]+\Z")


@dataclass(frozen=True)
class Sizes:
    """Lengths of an n-gram: `words`, or `characters` of Chinese and Japanese, twice as many of alphabets
    without blanks.
    """

    words: int
    characters: int

    def grams(self, found: Units) -> tuple[Hashes, Places]:
        """Hashes of every n-gram, and the text that it is from; each run belongs to the script of most of its
        units.
        """
        hashes, owners = [], []
        for kind, size in ((WORD, self.words), (IDEOGRAPH, self.characters), (LETTER, 2 * self.characters)):
            runs, begins = found.runs(size)
            if len(runs):
                mine = 2 * found.count(kind, size, begins) >= size
                hashes.append(runs[mine])
                owners.append(found.owners(begins[mine]))
        return (
            (np.concatenate(hashes), np.concatenate(owners))
            if hashes
            else (np.empty(0, np.uint64), np.empty(0, np.int64))
        )


class Held:
    """Built once of the questions put aside, in portions; then asked."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self._grams: list[Hashes] = []
        self._short: dict[int, list[Hashes]] = {}
        self._of_length: dict[int, Hashes] = {}
        self._forms: dict[int, set[str]] = {}
        self.grams: Hashes = np.empty(0, np.uint64)

    def add(self, texts: Sequence[str]) -> None:
        hashes, owners = self.sizes.grams(units(texts, WORDS_ONLY))
        self._grams.append(np.unique(hashes))
        without = np.ones(len(texts), bool)
        without[owners] = False
        for place in np.flatnonzero(without).tolist():
            question = SENTENCE_END.sub("", folded(texts[place]))
            if _telling(question):
                found = units([question])
                runs, _ = found.runs(len(found.hashes))
                self._short.setdefault(len(found.hashes), []).append(runs)
                self._forms.setdefault(int(runs[0]), set()).add(comparable(texts[place]))

    def close(self) -> None:
        """After the last portion."""
        self.grams = np.unique(np.concatenate(self._grams)) if self._grams else self.grams
        self._of_length = {
            length: np.unique(np.concatenate(found)) for length, found in sorted(self._short.items())
        }
        self._grams, self._short = [], {}

    def shared(self, texts: Sequence[str]) -> tuple[Places, Places]:
        """(text, place in `grams`) of every n-gram that is held, each once for a text."""
        hashes, owners = self.sizes.grams(units(texts, WORDS_ONLY))
        found, places = _found(hashes, self.grams)
        pairs = (
            np.unique(np.stack([owners[found], places[found]]), axis=1)
            if len(places)
            else np.empty((2, 0), np.int64)
        )
        return pairs[0], pairs[1]

    def contained(self, texts: Sequence[str]) -> Iterator[tuple[int, int]]:
        """(text, hash) of every short question that a text holds as a whole; the hash names the question."""
        if not self._of_length:
            return
        found = units(texts)
        for length, known in self._of_length.items():
            runs, begins = found.runs(length)
            hit, _ = _found(runs, known)
            for run, begin in zip(runs[hit].tolist(), begins[hit].tolist(), strict=True):
                text = int(found.owners(np.array([begin]))[0])
                first = begin - int(found.starts[text])
                if (
                    _stands_alone(texts[text], first, length)
                    and _form_of(texts[text], first, length) in self._forms[run]
                ):
                    yield text, run


WORDS_ONLY = re.compile(SYMBOLS.pattern.rpartition("|")[0])


def _found(hashes: Hashes, known: Hashes) -> tuple[NDArray[np.bool_], Places]:
    """Which of `hashes` are in the sorted `known`, and where."""
    if not len(known) or not len(hashes):
        return np.zeros(len(hashes), bool), np.zeros(len(hashes) if len(known) else 0, np.int64)
    places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return known[places] == hashes, places


def _telling(question: str) -> bool:
    parts = SYMBOLS.findall(question)
    return len(parts) >= LEAST and (
        len("".join(parts)) >= LEAST_CHARACTERS or any(not part.isascii() for part in parts)
    )


def _stands_alone(text: str, first: int, length: int) -> bool:
    """Whether the run of units is a whole question in there: no formula, number or condition goes on before
    or behind it.
    """
    found = list(SYMBOLS.finditer(folded(text)))
    form = found[0].string
    start, end = found[first].start(), found[first + length - 1].end()
    before, behind = form[:start].rstrip(" \t"), form[end:]
    if before and not (
        _is_word(found[first].group()) or before[-1] in CLOSING or before[-1] in "\n([{\"'“‘「"
    ):
        return False
    if re.match(r"[.,:/]?[0-9]|[(\[{^_]", behind):  # 3+4.5, f(2)(3): the formula is longer
        return False
    rest = behind.lstrip(" \t")
    if not rest or rest[0] in CLOSING or rest[0] == "\n":
        return True
    following = SYMBOLS.match(rest)
    word = following.group() if following else rest[0]
    if not word[0].isascii() and not word.isalnum():
        return False
    if (
        SYMBOLS.match(word)
        and len(word) == 1
        and re.match(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0eff]", word)
    ):
        return word in PARTICLES or length >= 12
    return len(word) > 1 and word.isalpha() and word not in GOING_ON


def _form_of(text: str, first: int, length: int) -> str:
    """The canonical form of a run of units as it is written, with the marks behind it: what is alike but for
    case, blanks, powers or a factorial may be another question. Empty where letters fold over the border of a
    unit.
    """
    spans = [match.span() for match in SYMBOLS.finditer(text) for _ in SYMBOLS.findall(folded(match.group()))]
    if first + length > len(spans):
        return ""
    start, end = spans[first][0], spans[first + length - 1][1]
    rest = text[end:]
    return comparable(text[start:end] + rest[: len(rest) - len(rest.lstrip(STOPS))])


def _is_word(unit: str) -> bool:
    return unit[0].isalpha()
