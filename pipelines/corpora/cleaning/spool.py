"""Rows on disk while they are cleaned: written once, read in any order, so that memory does not grow with
their texts.

The file has no name and dies with the process; nobody else can have written it, so that it may hold pickled
objects.
"""

from __future__ import annotations

import os
import pickle
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
PORTION = 2000  # rows that are read or handed over at once


class Spool(Generic[Item]):
    """`folder`: where the disk has room for it; None: the system's own place for temporary files."""

    def __init__(self, folder: Path | None = None) -> None:
        self._file: Any = TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as the spool
        self._starts = array("Q", [0])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def extend(self, items: Iterable[Item]) -> None:
        packed = [pickle.dumps(item, pickle.HIGHEST_PROTOCOL) for item in items]
        for one in packed:
            self._starts.append(self._starts[-1] + len(one))
        self._file.write(b"".join(packed))

    def __getitem__(self, place: int) -> Item:
        self._file.flush()
        start, end = self._starts[place], self._starts[place + 1]
        return pickle.loads(os.pread(self._file.fileno(), end - start, start))  # type: ignore[no-any-return]

    def portions(self, places: Iterable[int]) -> Iterator[list[Item]]:
        """In the order given."""
        portion: list[Item] = []
        for place in places:
            portion.append(self[place])
            if len(portion) == PORTION:
                yield portion
                portion = []
        if portion:
            yield portion


class Selected(Sequence[Item]):
    """Some rows of a spool, as a sequence."""

    def __init__(self, spool: Spool[Item], places: Any) -> None:
        self._spool, self.places = spool, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self._spool[int(one)] for one in self.places[place]]
        return self._spool[int(self.places[place])]

    def __iter__(self) -> Iterator[Item]:
        return (self._spool[int(place)] for place in self.places)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sequence)
            and len(self) == len(other)
            and all(a == b for a, b in zip(self, other, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]
