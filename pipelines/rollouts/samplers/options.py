"""Options of the samplers."""

from __future__ import annotations

from itertools import accumulate
from math import prod
from operator import mul
from typing import Annotated, Literal

from pydantic import Field

from pipelines.settings import Choice


class FlatParams(Choice):
    """Independent responses."""

    kind: Literal["flat"] = "flat"
    samples: int = Field(8, ge=1, description="responses per prompt")

    @property
    def responses(self) -> int:
        """Responses per prompt."""
        return self.samples

    def most(self, new: int) -> int:
        """Sequences of one prompt that are asked for at once at most, of `new` tokens each."""
        return self.samples


class ChainParams(Choice):
    """Independent responses, cut into segments whose boundaries are valued by Monte Carlo (SPO-chain,
    VinePPO).
    """

    kind: Literal["chain"] = "chain"
    samples: int = Field(8, ge=1, description="responses per prompt")
    rollouts: int = Field(9, ge=1, description="continuations that estimate the value of a boundary")
    partition: Literal["cutpoint", "newline", "fixed"] = Field(
        "cutpoint",
        description="segments begin at uncertain tokens (SPO), at lines (VinePPO), or have equal lengths",
    )
    rho: float = Field(0.9, gt=0, le=1, description="cutpoint: a token is uncertain below this probability")
    interval: int = Field(5, ge=1, description="cutpoint: uncertain tokens per segment")
    first_boundary: Literal["first_cutpoint", "prompt"] = Field(
        "first_cutpoint",
        description="cutpoint: where the first segment begins; what lies before it has advantage 0",
    )
    parts: int = Field(4, ge=1, description="fixed: segments per response")
    answer: str = Field(
        "####",
        description="newline: a last line that opens with this belongs to the line before it; empty: to none",
    )
    max_boundaries: int = Field(
        0,
        ge=0,
        description=(
            "boundaries of a response that are valued, from its start; later segments see its own reward. 0: "
            "all"
        ),
    )

    @property
    def responses(self) -> int:
        """Responses per prompt."""
        return self.samples

    def most(self, new: int) -> int:
        """Sequences of one prompt that are asked for at once at most, with responses of `new` tokens: those
        that value boundaries.
        """
        boundaries = {"cutpoint": -(-new // self.interval) + 1, "fixed": self.parts, "newline": new}[
            self.partition
        ]
        return self.samples * max(1, self.rollouts * min(boundaries, self.max_boundaries or boundaries))


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
