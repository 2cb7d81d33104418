"""Many texts at once as arrays of hashed units, and the hashes of every run of units: what n-grams and
shingles are made of.

A unit is a word, a number or a symbol; in scripts that are written without spaces it is a character, since a
Chinese sentence would be one word. Hashes have 64 bits and are the same in every process: equal runs have
equal hashes, and collisions are negligible.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]

IDEOGRAPHIC = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # kana and Han
# Thai, Lao, Burmese, Khmer: letters, and still no blanks
ALPHABETIC = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
SYMBOLS = re.compile(rf"[{IDEOGRAPHIC}{ALPHABETIC}]|[^\W{IDEOGRAPHIC}{ALPHABETIC}]+|[^\w\s]")
WORDS = re.compile(rf"[{IDEOGRAPHIC}{ALPHABETIC}]|[^\W{IDEOGRAPHIC}{ALPHABETIC}]+")
WORD, IDEOGRAPH, LETTER = range(3)
MAX_REMEMBERED = 1 << 18  # units whose hash is remembered
BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64
INVERSE = pow(BASE, -1, 2**64)


def casefolded(text: str) -> str:
    """Returns the text in the form that units are cut from: NFKC, case folded."""
    return text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


@dataclass(frozen=True)
class Units:
    """The units of several texts, concatenated: `hashes` and `kinds` (N,), offsets `starts` (texts + 1,)."""

    hashes: Hashes
    kinds: NDArray[np.uint8]
    starts: Indices

    def runs(self, size: int) -> tuple[Hashes, Indices]:
        """Returns the hashes of all runs of `size` units within one text, and the index of the first unit of
        each.
        """
        number = len(self.hashes) - size + 1
        if number <= 0:
            return np.empty(0, np.uint64), np.empty(0, np.int64)
        begins = np.arange(number)
        begins = begins[self.owners(begins) == self.owners(begins + size - 1)]
        return _rolled(self.hashes, size)[begins], begins

    def owners(self, indices: Indices) -> Indices:
        """Returns the index of the text of each unit."""
        return np.searchsorted(self.starts, indices, side="right") - 1

    def count(self, kind: int, size: int, begins: Indices) -> Indices:
        """Returns the number of units of a kind in each run of `size` units that starts at `begins`."""
        total = np.concatenate([[0], np.cumsum(self.kinds == kind)])
        return total[begins + size] - total[begins]


def units(texts: Iterable[str], pattern: re.Pattern[str] = SYMBOLS) -> Units:
    """Returns the units of the texts. `pattern`: SYMBOLS, or WORDS to leave symbols out."""
    hashes: list[int] = []
    starts = [0]
    known: dict[str, int] = _REMEMBERED
    for text in texts:
        form = casefolded(text)
        text_units = pattern.findall(form)
        for unit in text_units:
            value = known.get(unit)
            if value is None:
                if len(known) >= MAX_REMEMBERED:
                    known.clear()
                value = known[unit] = crc32(unit.encode("utf-8", "surrogatepass")) | _kind(unit) << 32
            hashes.append(value)
        starts.append(len(hashes))
    packed = np.array(hashes, np.uint64)
    kinds = (packed >> np.uint64(32)).astype(np.uint8)
    return Units(mix_bits(packed & np.uint64(0xFFFFFFFF)), kinds, np.array(starts, np.int64))


def mix_bits(values: Hashes) -> Hashes:
    """Returns splitmix64 of each value: close values get distant hashes."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(BASE)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


_REMEMBERED: dict[str, int] = {}


def _kind(unit: str) -> int:
    if len(unit) > 1 or unit.isascii():
        return WORD
    return (
        IDEOGRAPH
        if re.match(f"[{IDEOGRAPHIC}]", unit)
        else LETTER
        if re.match(f"[{ALPHABETIC}]", unit)
        else WORD
    )


def _rolled(hashes: Hashes, size: int) -> Hashes:
    """Returns the polynomial hash of every window, sum(h[i + j] * B**j), by differences of running sums."""
    with np.errstate(over="ignore"):
        number = len(hashes)
        powers, backwards = _powers(BASE, number), _powers(INVERSE, number)
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashes * powers, dtype=np.uint64)])
        return mix_bits((sums[size:] - sums[:-size]) * backwards[: number - size + 1])


def _powers(base: int, number: int) -> Any:
    return np.multiply.accumulate(
        np.concatenate([np.ones(1, np.uint64), np.full(number - 1, base, np.uint64)]), dtype=np.uint64
    )
