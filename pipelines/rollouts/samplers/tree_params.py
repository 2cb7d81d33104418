"""Parameters of the tree sampler."""

from __future__ import annotations

from itertools import accumulate
from math import prod
from operator import mul
from typing import Annotated, Literal

from pydantic import Field

from pipelines.settings import Choice


class TreeParams(Choice):
    """A tree of segments below every prompt (SPO-tree)."""

    kind: Literal["tree"] = "tree"
    branching: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (6, 6, 6),
        min_length=1,
        description="continuations of every unfinished segment, level by level; (8,) is a flat group of 8",
    )
    segment: int = Field(
        30,
        ge=1,
        description="tokens after which a segment of an inner level ends; the last level has no such limit",
    )

    @property
    def reserved(self) -> int:
        """Tokens of the inner levels: prompt and response need more room than this beside each other."""
        return (len(self.branching) - 1) * self.segment

    @property
    def responses(self) -> int:
        """Responses per prompt at most."""
        return prod(self.branching)

    def most(self, new: int) -> int:
        """Sequences of one prompt that are asked for at once at most: those of the last level."""
        return self.responses


def expected_nodes(branching: tuple[int, ...], survival: float = 1.0) -> float:
    """Segments of a tree when a share `survival` of each inner level's reaches its cap (spo.md 9)."""
    return sum(width * survival**level for level, width in enumerate(accumulate(branching, mul)))
