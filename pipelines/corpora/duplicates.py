"""Exact and near duplicates: which rows of a list say what an earlier one says.

Near-duplicates are found by MinHash (datasketch) and confirmed by the true Jaccard similarity, so no row falls to a hash's chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pipelines.corpora.canonical import comparable
from pipelines.corpora.corpus_params import NearParams
from pipelines.corpora.essence import one_question
from pipelines.corpora.text import symbols

if TYPE_CHECKING:
    from datasketch import MinHash


def exact_duplicates(texts: Sequence[str]) -> list[int]:
    """Places of texts whose canonical form came before."""
    seen: set[str] = set()
    repeated = []
    for place, text in enumerate(texts):
        form = comparable(text)
        if form in seen:
            repeated.append(place)
        seen.add(form)
    return repeated


class NearIndex:
    """Questions that a new one may be a near-duplicate of. Its answers depend on the questions added, not on their order."""

    def __init__(self, params: NearParams):
        from datasketch import MinHash, MinHashLSH  # brings scipy: only corpora with near-duplicate search pay for it

        self.params = params
        # candidates from a lower threshold than the confirmed one: banding misses pairs that lie close to its own
        self._index = MinHashLSH(threshold=max(0.1, params.threshold - 0.1), num_perm=params.permutations)
        self._blank = MinHash(num_perm=params.permutations, seed=1)  # copied: drawing the permutations takes a third of a sketch's time
        self._shingles: list[frozenset[str]] = []
        self._texts: list[str] = []

    def _sketch(self, shingles: Iterable[str]) -> MinHash:
        sketch = self._blank.copy()
        sketch.update_batch(sorted(shingle.encode() for shingle in shingles))
        return sketch

    def add(self, text: str) -> None:
        self._add(text, self._shingled(text), None)

    def seen(self, text: str, add: bool = False) -> bool:
        """Whether an added question is at least `threshold` similar; with `add`, a new one is added."""
        shingles = self._shingled(text)
        sketch = self._sketch(shingles)
        found = any(
            self._similar(shingles, self._shingles[place]) and one_question(text, self._texts[place]) for place in self._index.query(sketch)
        )
        if add and not found:
            self._add(text, shingles, sketch)
        return found

    def _add(self, text: str, shingles: frozenset[str], sketch: MinHash | None) -> None:
        self._index.insert(len(self._shingles), sketch or self._sketch(shingles))
        self._shingles.append(shingles)
        self._texts.append(text)

    def _shingled(self, text: str) -> frozenset[str]:
        parts, size = symbols(text), self.params.shingle
        return frozenset(" ".join(parts[start : start + size]) for start in range(max(1, len(parts) - size + 1)))

    def _similar(self, one: frozenset[str], other: frozenset[str]) -> bool:
        return len(one & other) >= self.params.threshold * len(one | other)


def near_duplicates(texts: Sequence[str], params: NearParams) -> list[int]:
    """Places of texts that are near-duplicates of an earlier one that is kept."""
    index = NearIndex(params)
    return [place for place, text in enumerate(texts) if index.seen(text, add=True)]
