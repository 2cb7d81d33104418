"""Questions as sets of shingles: runs of words, and runs of characters where the text is Chinese, Japanese or Korean.

Words fail on text without blanks: a Chinese sentence would be one word, and near-duplicates of it would share none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.corpora.canonical import comparable
from pipelines.corpora.essence import one_question
from pipelines.corpora.text import symbols

if TYPE_CHECKING:
    from datasketch import MinHash

CJK = re.compile(r"[㐀-鿿豈-﫿぀-ヿ가-힯]")
MARGIN = 0.1  # candidates are sought below the threshold, since banding misses pairs close to it; the true similarity decides
CJK_SHARE = 0.2


@dataclass(frozen=True)
class Shingling:
    """Sizes of the runs and of a MinHash signature."""

    words: int
    characters: int
    permutations: int

    def units(self, text: str) -> tuple[Sequence[str], int]:
        """(units, size of a run): characters of the comparable form for CJK, words and symbols otherwise."""
        if is_cjk(text):
            return comparable(text), self.characters
        return symbols(text), self.words

    def shingles(self, text: str) -> frozenset[str]:
        units, size = self.units(text)
        return frozenset(" ".join(units[start : start + size]) for start in range(max(1, len(units) - size + 1)))


def is_cjk(text: str) -> bool:
    """Whether a fifth of its characters are CJK: formulas in Chinese questions are Latin."""
    return len(CJK.findall(text)) > CJK_SHARE * len(text)


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """0 for two empty sets."""
    union = len(one | other)
    return len(one & other) / union if union else 0.0


class Sketches:
    """Shingles and MinHash signature of each text, made once: a question is compared with several sets."""

    def __init__(self, shingling: Shingling) -> None:
        from datasketch import MinHash  # brings scipy

        self.shingling = shingling
        self._blank = MinHash(num_perm=shingling.permutations, seed=1)
        self._known: dict[str, tuple[frozenset[str], MinHash]] = {}

    def of(self, text: str) -> tuple[frozenset[str], MinHash]:
        found = self._known.get(text)
        if found is None:
            shingles = self.shingling.shingles(text)
            sketch = self._blank.copy()
            sketch.update_batch(sorted(shingle.encode() for shingle in shingles))
            found = self._known[text] = (shingles, sketch)
        return found


class Neighbours:
    """Texts that are at least `threshold` similar to a given one: by MinHash, confirmed by the true Jaccard similarity."""

    def __init__(self, sketches: Sketches, threshold: float) -> None:
        from datasketch import MinHashLSH

        self._sketches, self._threshold = sketches, threshold
        self._index = MinHashLSH(threshold=max(0.1, threshold - MARGIN), num_perm=sketches.shingling.permutations)
        self._sets: list[frozenset[str]] = []
        self._texts: list[str] = []

    def add(self, text: str) -> list[int]:
        """Adds it; returns the places of the earlier texts that it is similar to."""
        shingles, sketch = self._sketches.of(text)
        found = self._similar(text, shingles, sketch)
        self._index.insert(len(self._sets), sketch)
        self._sets.append(shingles)
        self._texts.append(text)
        return found

    def near(self, text: str) -> bool:
        """Whether an added text is similar to it."""
        return bool(self._similar(text, *self._sketches.of(text)))

    def _similar(self, text: str, shingles: frozenset[str], sketch: MinHash) -> list[int]:
        near = (place for place in self._index.query(sketch) if jaccard(shingles, self._sets[place]) >= self._threshold)
        return [place for place in near if one_question(text, self._texts[place])]
