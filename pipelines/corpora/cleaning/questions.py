"""Questions that are compared: their traits in memory, their texts looked up by index, wherever they are
stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipelines.corpora.cleaning.near import Sketcher
from pipelines.corpora.cleaning.spool import PORTION
from pipelines.corpora.cleaning.traits import Traits
from pipelines.corpora.raw.problem import Problem


@dataclass(frozen=True)
class Questions:
    """`text(index)` returns the question of a row of `traits`."""

    traits: Traits
    text: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.traits)

    def portions(self, indices: Sequence[int] | None = None) -> Iterator[tuple[Sequence[int], list[str]]]:
        """Yields (indices, texts) in portions of PORTION rows; `indices` None: of all rows."""
        selected: Sequence[int] = range(len(self)) if indices is None else indices
        for start in range(0, len(selected), PORTION):
            portion = selected[start : start + PORTION]
            yield portion, [self.text(int(index)) for index in portion]

    @classmethod
    def of(cls, texts: Sequence[str], sketcher: Sketcher | None, keys: Iterable[str] = ()) -> Questions:
        """Returns the questions of texts that are in memory. `keys`: one per text, or none."""
        all_keys = [*keys] or [""] * len(texts)
        problems = [
            Problem(text, "", "train", "", key=key) for text, key in zip(texts, all_keys, strict=True)
        ]
        return cls(Traits.of(problems, sketcher), texts.__getitem__)
