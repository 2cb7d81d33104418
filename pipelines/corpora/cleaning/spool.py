"""Rows on disk while they are cleaned: written once, read in any order, so that memory does not grow with
their texts.

The file has no name and disappears with the process. No other process can have written it, so that it may
hold pickled objects.
"""

from __future__ import annotations

import os
import pickle
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Generic, TypeVar

T = TypeVar("T")
PORTION = 2000  # rows that are read or handed over at once


class Spool(Generic[T]):
    """A sequence of pickled rows in an unnamed temporary file in `folder`; None: in the system's temporary
    folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file: Any = TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as the spool
        self._starts = array("Q", [0])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def extend(self, items: Iterable[T]) -> None:
        """Appends items."""
        packed = [pickle.dumps(item, pickle.HIGHEST_PROTOCOL) for item in items]
        for item_bytes in packed:
            self._starts.append(self._starts[-1] + len(item_bytes))
        self._file.write(b"".join(packed))

    def __getitem__(self, index: int) -> T:
        self._file.flush()
        start, end = self._starts[index], self._starts[index + 1]
        return pickle.loads(os.pread(self._file.fileno(), end - start, start))  # type: ignore[no-any-return]

    def portions(self, indices: Iterable[int]) -> Iterator[list[T]]:
        """Yields the rows with these indices, in this order, in lists of at most PORTION."""
        portion: list[T] = []
        for index in indices:
            portion.append(self[index])
            if len(portion) == PORTION:
                yield portion
                portion = []
        if portion:
            yield portion


class Selected(Sequence[T]):
    """Some rows of a spool as a sequence; `indices`: which ones, in order."""

    def __init__(self, spool: Spool[T], indices: Any) -> None:
        self._spool, self.indices = spool, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return [self._spool[int(index)] for index in self.indices[key]]
        return self._spool[int(self.indices[key])]

    def __iter__(self) -> Iterator[T]:
        return (self._spool[int(index)] for index in self.indices)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sequence)
            and len(self) == len(other)
            and all(own_row == other_row for own_row, other_row in zip(self, other, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]
