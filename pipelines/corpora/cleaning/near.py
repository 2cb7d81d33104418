"""Near-duplicates by MinHash, at a cost per row that does not grow with their number, be the rows templated
or not.

Rows are candidates only where a band of their signatures agrees and their essence does (numbers, operators,
names), so that questions of one template never meet; in what is left of a bucket a row is compared with a
bounded number of others, each cluster standing for itself. A candidate is confirmed by the true Jaccard
similarity of the shingles, so no row falls to a hash's chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.corpora.cleaning.units import WORD, Hashes, Places, Units, mixed, units

Bands = NDArray[np.uint32]
Alike = Callable[[int, int], bool]

SURE = 0.995  # chance that two texts just at the threshold share a band
BUDGET = 16  # comparisons that a row may cost
KEPT = 4  # clusters of one bucket that a row is compared with
PORTION = 512  # texts whose signatures are made at once


@dataclass(frozen=True)
class Sketcher:
    """How texts become bands of a MinHash signature: `shingle` units, `permutations` hashes, candidates from
    `threshold` on. `characters`: units of a shingle in texts of which a fifth is written without blanks;
    None: `shingle`.
    """

    threshold: float
    shingle: int
    permutations: int
    characters: int | None = None

    @cached_property
    def rows(self) -> int:
        """Hashes in a band: as many as leave pairs at the threshold a chance of SURE."""
        fits = (
            r
            for r in range(self.permutations, 0, -1)
            if 1 - (1 - self.threshold**r) ** (self.permutations // r) >= SURE
        )
        return next(fits, 1)

    @property
    def number(self) -> int:
        """Of bands."""
        return self.permutations // self.rows

    def shingles(self, texts: Sequence[str]) -> tuple[Hashes, Places]:
        """Hashes of all shingles, and where those of each text begin (texts + 1,). A text shorter than a
        shingle is one.
        """
        found = units(texts)
        sizes = np.diff(found.starts)
        lengths = np.full(len(sizes), self.shingle)
        if self.characters is not None:
            unspaced = (
                np.add.reduceat(np.append(found.kinds != WORD, False), found.starts[:-1])
                if len(sizes)
                else sizes
            )
            lengths[(sizes > 0) & (5 * unspaced > sizes)] = self.characters
        parts, owners = [], []
        for length in np.unique(lengths).tolist():
            runs, begins = found.runs(length)
            own = found.owners(begins)
            mine = lengths[own] == length
            parts.append(runs[mine])
            owners.append(own[mine])
        short = np.flatnonzero(sizes < lengths)
        parts.append(np.array([_whole(found, place) for place in short.tolist()], np.uint64))
        owners.append(short)
        order = np.argsort(np.concatenate(owners), kind="stable")
        return np.concatenate(parts)[order], np.searchsorted(
            np.concatenate(owners)[order], np.arange(len(sizes) + 1)
        )

    def bands(self, texts: Sequence[str], essences: Hashes) -> Bands:
        """(texts, number): texts that agree in a band, and in their essence, are candidates."""
        made = [
            self._bands(texts[first : first + PORTION], essences[first : first + PORTION])
            for first in range(0, len(texts), PORTION)
        ]
        return np.concatenate(made) if made else np.empty((0, self.number), np.uint32)

    def _bands(self, texts: Sequence[str], essences: Hashes) -> Bands:
        hashes, starts = self.shingles(texts)
        seeds = mixed(np.arange(1, 2 * self.permutations + 1, dtype=np.uint64))
        result = np.empty((len(texts), self.number), np.uint32)
        with np.errstate(over="ignore"):
            for band in range(self.number):
                key = mixed(essences + np.uint64(band + 1))
                for row in range(self.rows):
                    place = band * self.rows + row
                    values = hashes * (seeds[place] | np.uint64(1)) + seeds[self.permutations + place]
                    key = mixed(key ^ (np.minimum.reduceat(values, starts[:-1]) >> np.uint64(32)))
                result[:, band] = key >> np.uint64(32)
        return result

    def alike(self, one: str, other: str) -> bool:
        """Whether the true Jaccard similarity reaches the threshold."""
        hashes, starts = self.shingles([one, other])
        first, second = (np.unique(hashes[starts[place] : starts[place + 1]]) for place in (0, 1))
        common = len(np.intersect1d(first, second, assume_unique=True))
        return common >= self.threshold * (len(first) + len(second) - common)


def _whole(found: Units, text: int) -> np.uint64:
    start, end = found.starts[text], found.starts[text + 1]
    with np.errstate(over="ignore"):
        return mixed(
            np.array(
                [np.sum(found.hashes[start:end] * np.arange(1, end - start + 1, dtype=np.uint64))], np.uint64
            )
        )[0]


def clusters(bands: Bands, alike: Alike) -> Places:
    """The first member of each row's cluster (rows,). Clusters are merged once: rows of one cluster are not
    compared again.
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
            apart = members[roots[members] != roots[members[0]]]
            if len(apart):
                _merge([int(members[0]), *apart.tolist()], parent, tries, alike)
    return _roots(parent)


def _merge(members: Sequence[int], parent: Places, tries: NDArray[np.int32], alike: Alike) -> None:
    kept: list[int] = []
    for member in members:
        own = _root(parent, member)
        for other in kept:
            root = _root(parent, other)
            if root == own:
                break
            if tries[member] >= BUDGET:
                continue
            tries[member] += 1
            if alike(other, member):
                low, high = sorted((root, own))
                parent[high] = low
                break
        else:
            if len(kept) < KEPT:
                kept.append(member)


def _root(parent: Places, place: int) -> int:
    while parent[place] != place:
        parent[place] = parent[parent[place]]
        place = int(parent[place])
    return place


def _roots(parent: Places) -> Places:
    while True:
        further = parent[parent]
        if np.array_equal(further, parent):
            return parent.copy()
        parent[:] = further


@dataclass(frozen=True)
class NearIndex:
    """Rows to look others up in, by their bands."""

    bands: Bands

    @cached_property
    def _sorted(self) -> list[tuple[Places, Bands]]:
        orders = [np.argsort(self.bands[:, band], kind="stable") for band in range(self.bands.shape[1])]
        return [(order, self.bands[order, band]) for band, order in enumerate(orders)]

    def candidates(self, bands: Bands) -> list[tuple[int, int]]:
        """(row of `bands`, row of the index): those that share a band, at most BUDGET of each row."""
        found: set[tuple[int, int]] = set()
        tries = np.zeros(len(bands), np.int32)
        for band, (order, ordered) in enumerate(self._sorted):
            low = np.searchsorted(ordered, bands[:, band], side="left")
            high = np.searchsorted(ordered, bands[:, band], side="right")
            for row in np.flatnonzero((high > low) & (tries < BUDGET)).tolist():
                for place in order[low[row] : min(high[row], low[row] + KEPT)].tolist():
                    if (row, place) not in found:
                        found.add((row, place))
                        tries[row] += 1
        return sorted(found)
