"""Near-duplicates by MinHash, at a cost per row that does not grow with the number of rows, whether they are
templated or not.

Two rows are candidates only where a band of their signatures and their essence (numbers, operators, names)
are equal, so that questions of one template are never compared. Within a bucket a row is compared with a
bounded number of others, each representing its cluster. A candidate is confirmed by the true Jaccard
similarity of the shingles, so that no row is removed by a hash collision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.corpora.cleaning.units import WORD, Hashes, Indices, Units, mix_bits, units

Bands = NDArray[np.uint32]
Alike = Callable[[int, int], bool]

RECALL = 0.995  # probability that two texts at the threshold share a band
MAX_COMPARISONS = 16  # comparisons that a row may cost
MAX_CLUSTERS = 4  # clusters per bucket that a row is compared with
PORTION = 512  # texts whose signatures are made at once


@dataclass(frozen=True)
class Sketcher:
    """How texts become bands of a MinHash signature: `shingle` units, `permutations` hashes, candidates from
    the Jaccard similarity `threshold` on. `characters`: units per shingle in texts of which at least a fifth
    is written without spaces; None: `shingle`.
    """

    threshold: float
    shingle: int
    permutations: int
    characters: int | None = None

    @cached_property
    def rows(self) -> int:
        """Returns the number of hashes in a band: the largest for which pairs at the threshold share a band
        with probability RECALL.
        """
        fits = (
            rows
            for rows in range(self.permutations, 0, -1)
            if 1 - (1 - self.threshold**rows) ** (self.permutations // rows) >= RECALL
        )
        return next(fits, 1)

    @property
    def number(self) -> int:
        """Returns the number of bands."""
        return self.permutations // self.rows

    def shingles(self, texts: Sequence[str]) -> tuple[Hashes, Indices]:
        """Returns the hashes of all shingles, and the offsets at which those of each text begin (texts + 1,).
        A text shorter than a shingle counts as one shingle.
        """
        text_units = units(texts)
        sizes = np.diff(text_units.starts)
        lengths = np.full(len(sizes), self.shingle)
        if self.characters is not None:
            unspaced = (
                np.add.reduceat(np.append(text_units.kinds != WORD, False), text_units.starts[:-1])
                if len(sizes)
                else sizes
            )
            lengths[(sizes > 0) & (5 * unspaced > sizes)] = self.characters
        hashes, owners = [], []
        for length in np.unique(lengths).tolist():
            runs, begins = text_units.runs(length)
            owner = text_units.owners(begins)
            of_length = lengths[owner] == length
            hashes.append(runs[of_length])
            owners.append(owner[of_length])
        short = np.flatnonzero(sizes < lengths)
        hashes.append(np.array([_hash_of_text(text_units, text) for text in short.tolist()], np.uint64))
        owners.append(short)
        order = np.argsort(np.concatenate(owners), kind="stable")
        return np.concatenate(hashes)[order], np.searchsorted(
            np.concatenate(owners)[order], np.arange(len(sizes) + 1)
        )

    def bands(self, texts: Sequence[str], essences: Hashes) -> Bands:
        """Returns (texts, number): texts with an equal value in a band share the band and the essence, and
        are candidates.
        """
        portions = [
            self._bands(texts[start : start + PORTION], essences[start : start + PORTION])
            for start in range(0, len(texts), PORTION)
        ]
        return np.concatenate(portions) if portions else np.empty((0, self.number), np.uint32)

    def _bands(self, texts: Sequence[str], essences: Hashes) -> Bands:
        hashes, starts = self.shingles(texts)
        seeds = mix_bits(np.arange(1, 2 * self.permutations + 1, dtype=np.uint64))
        result = np.empty((len(texts), self.number), np.uint32)
        with np.errstate(over="ignore"):
            for band in range(self.number):
                key = mix_bits(essences + np.uint64(band + 1))
                for row in range(self.rows):
                    index = band * self.rows + row
                    values = hashes * (seeds[index] | np.uint64(1)) + seeds[self.permutations + index]
                    key = mix_bits(key ^ (np.minimum.reduceat(values, starts[:-1]) >> np.uint64(32)))
                result[:, band] = key >> np.uint64(32)
        return result

    def alike(self, first: str, second: str) -> bool:
        """Returns whether the true Jaccard similarity of two texts reaches the threshold."""
        hashes, starts = self.shingles([first, second])
        first_hashes, second_hashes = (
            np.unique(hashes[starts[index] : starts[index + 1]]) for index in (0, 1)
        )
        common = len(np.intersect1d(first_hashes, second_hashes, assume_unique=True))
        return common >= self.threshold * (len(first_hashes) + len(second_hashes) - common)


def _hash_of_text(text_units: Units, text: int) -> np.uint64:
    """Returns one hash of all units of a text."""
    start, end = text_units.starts[text], text_units.starts[text + 1]
    with np.errstate(over="ignore"):
        return mix_bits(
            np.array(
                [np.sum(text_units.hashes[start:end] * np.arange(1, end - start + 1, dtype=np.uint64))],
                np.uint64,
            )
        )[0]


def clusters(bands: Bands, alike: Alike) -> Indices:
    """Returns (rows,): the first member of each row's cluster. Clusters are merged once: rows of one cluster
    are not compared again.
    """
    parent = np.arange(len(bands))
    tries = np.zeros(len(bands), np.int32)
    for band in range(bands.shape[1]):
        order = np.argsort(bands[:, band], kind="stable")
        ordered = bands[order, band]
        edges = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]]))
        roots = _roots(parent)
        shared = np.flatnonzero(np.diff(edges) > 1)
        for first, end in zip(edges[shared].tolist(), edges[shared + 1].tolist(), strict=True):
            members = order[first:end]
            of_other_clusters = members[roots[members] != roots[members[0]]]
            if len(of_other_clusters):
                _merge([int(members[0]), *of_other_clusters.tolist()], parent, tries, alike)
    return _roots(parent)


def _merge(members: Sequence[int], parent: Indices, tries: NDArray[np.int32], alike: Alike) -> None:
    representatives: list[int] = []
    for member in members:
        own_root = _root(parent, member)
        for representative in representatives:
            other_root = _root(parent, representative)
            if other_root == own_root:
                break
            if tries[member] >= MAX_COMPARISONS:
                continue
            tries[member] += 1
            if alike(representative, member):
                low, high = sorted((other_root, own_root))
                parent[high] = low
                break
        else:
            if len(representatives) < MAX_CLUSTERS:
                representatives.append(member)


def _root(parent: Indices, index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = int(parent[index])
    return index


def _roots(parent: Indices) -> Indices:
    while True:
        grandparent = parent[parent]
        if np.array_equal(grandparent, parent):
            return parent.copy()
        parent[:] = grandparent


@dataclass(frozen=True)
class NearIndex:
    """Rows to look others up in, by their bands (rows, number)."""

    bands: Bands

    @cached_property
    def _sorted(self) -> list[tuple[Indices, Bands]]:
        orders = [np.argsort(self.bands[:, band], kind="stable") for band in range(self.bands.shape[1])]
        return [(order, self.bands[order, band]) for band, order in enumerate(orders)]

    def candidates(self, bands: Bands) -> list[tuple[int, int]]:
        """Returns sorted pairs (row of `bands`, row of the index) that share a band, at most MAX_COMPARISONS
        for each row.
        """
        pairs: set[tuple[int, int]] = set()
        tries = np.zeros(len(bands), np.int32)
        for band, (order, ordered) in enumerate(self._sorted):
            low = np.searchsorted(ordered, bands[:, band], side="left")
            high = np.searchsorted(ordered, bands[:, band], side="right")
            for row in np.flatnonzero((high > low) & (tries < MAX_COMPARISONS)).tolist():
                for indexed_row in order[low[row] : min(high[row], low[row] + MAX_CLUSTERS)].tolist():
                    if (row, indexed_row) not in pairs:
                        pairs.add((row, indexed_row))
                        tries[row] += 1
        return sorted(pairs)
