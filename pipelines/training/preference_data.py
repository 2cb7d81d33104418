"""Pairs as the loops read them: token ids, checks, a digest, and micro-batches in which a pair is never
divided.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pipelines.corpora.preferences.pair import Pair
from pipelines.models.packing import Segment, cut
from pipelines.training.preference_params import PairLoopParams
from pipelines.training.ranks import Ranks

MIN_SHARED_PREFIX = 4  # a shorter beginning costs more as a span of its own than it saves


class AnswerPair(NamedTuple):
    """Two answers to one prompt, as ids; `first` is the one whose probability the loss raises."""

    id: str
    prompt: tuple[int, ...]
    first: tuple[int, ...]
    second: tuple[int, ...]

    def shared_prefix(self) -> tuple[int, ...]:
        """Returns the tokens that both answers begin with, without either one's last token. Empty where they
        are fewer than MIN_SHARED_PREFIX.
        """
        longest = min(len(self.first), len(self.second)) - 1
        common = next((i for i in range(longest) if self.first[i] != self.second[i]), longest)
        return self.first[:common] if common >= MIN_SHARED_PREFIX else ()

    def rows(self, shared: bool) -> tuple[Segment, Segment]:
        """Both answers after prompt and shared prefix; where contexts are shared, packing them together
        computes prompt and shared prefix once. Otherwise after the prompt alone.
        """
        stem = self.shared_prefix() if shared else ()
        context = (self.prompt, stem) if stem else (self.prompt,)
        return Segment(context, self.first[len(stem) :]), Segment(context, self.second[len(stem) :])


class PairData:
    """The pairs whose two answers fit into `max_tokens` with their prompt; `too_long` holds the ids of the
    others; `left_out` counts, by reason, those that were left out before. `where` is for errors.

    Equal or empty answers need no check: there is no such `Pair`.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        max_tokens: int,
        where: str = "these pairs",
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        self.where = where
        self.left_out = dict(left_out or {})
        self.kept: list[Pair] = []
        self.too_long: list[str] = []
        for pair in pairs:
            longest = len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids))
            if longest <= max_tokens:
                self.kept.append(pair)
            else:
                self.too_long.append(pair.id)
        if not self.kept:
            raise ValueError(
                f"{where}: none of {len(pairs)} pairs fits into {max_tokens} tokens; raise max_tokens, or "
                f"make other pairs"
            )
        self.pairs = [
            AnswerPair(p.id, tuple(p.prompt_ids), tuple(p.chosen_ids), tuple(p.rejected_ids))
            for p in self.kept
        ]

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def lost(self) -> dict[str, int]:
        """Pairs that are not learnt, by reason."""
        return {**self.left_out, "too_long": len(self.too_long) + self.left_out.get("too_long", 0)}

    @cached_property
    def digest(self) -> str:
        """sha256 over ids and tokens of all pairs in order, 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for pair in self.pairs:
            parts = [pair.id.encode(), *(np.array(ids, np.int64).tobytes() for ids in pair[1:])]
            for part in parts:
                digest.update(len(part).to_bytes(8, "little") + part)
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class PairBatches:
    """How a batch of pairs is cut and divided among `ranks`. `budget` is the tokens of a micro-batch, which
    changes results by rounding alone; `shared`: the model can compute a prompt once for all its answers
    (`packing.can_share`).
    """

    budget: int
    ranks: Ranks
    shared: bool

    def micro_batches(self, pairs: Sequence[AnswerPair]) -> Iterator[tuple[list[int], bool]]:
        """Yields (indices into `pairs`, whether they count): this rank's micro-batches. Every rank gets the
        same number; those that do not count only take part in collective operations.
        """
        groups = cut([self._one_row(pair) for pair in pairs], self.budget, self.shared)
        mine = self.ranks.shard(groups)
        for turn in range(self.ranks.micro_batches_per_rank(len(groups))):
            yield (mine[turn], True) if turn < len(mine) else (groups[-1], False)

    def _one_row(self, pair: AnswerPair) -> Segment:
        """Returns a row that takes as much room as the pair, so that `cut` cannot divide the pair: prompt and
        shared prefix once where they are shared, two rows of the longer answer's width where rows are padded.
        """
        if self.shared:
            return Segment((pair.prompt,), pair.first + pair.second[len(pair.shared_prefix()) :])
        longer = pair.prompt + max(pair.first, pair.second, key=len)
        return Segment((longer,), longer)


def total_steps(settings: PairLoopParams, size: int) -> int:
    """Optimiser steps of the whole run over `size` pairs."""
    return settings.steps or max(1, math.ceil((settings.epochs or 0) * size / settings.batch_size))
