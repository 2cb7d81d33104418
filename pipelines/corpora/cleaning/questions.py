"""Questions that are compared: their traits in memory, their texts by place, from wherever they lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipelines.corpora.cleaning.near import Sketcher
from pipelines.corpora.cleaning.spool import PORTION
from pipelines.corpora.cleaning.traits import Traits
from pipelines.corpora.raw.problem import Problem


@dataclass(frozen=True)
class Questions:
    """`text(place)` is the question of a row of `traits`."""

    traits: Traits
    text: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.traits)

    def portions(self, places: Sequence[int] | None = None) -> Iterator[tuple[Sequence[int], list[str]]]:
        """Places, all of them unless some are given, and their texts; some thousand at once."""
        wanted: Sequence[int] = range(len(self)) if places is None else places
        for first in range(0, len(wanted), PORTION):
            portion = wanted[first : first + PORTION]
            yield portion, [self.text(int(place)) for place in portion]

    @classmethod
    def of(cls, texts: Sequence[str], sketcher: Sketcher | None, keys: Iterable[str] = ()) -> Questions:
        """Of texts that are in memory."""
        named = [*keys] or [""] * len(texts)
        problems = [Problem(text, "", "train", "", key=key) for text, key in zip(texts, named, strict=True)]
        return cls(Traits.of(problems, sketcher), texts.__getitem__)
