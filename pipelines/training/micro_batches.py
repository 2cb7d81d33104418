"""Micro-batches of rows: how a batch is cut and divided among ranks, in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from pipelines.models.logprobs import TokenScores
from pipelines.models.packing import cut
from pipelines.training.ranks import Ranks
from pipelines.training.training_row import TrainingRow

T = TypeVar("T")


@dataclass(frozen=True)
class MicroBatcher:
    """`budget` is the tokens of a micro-batch; it changes no result but by rounding. `shared`: the model can
    compute a context once for all that follows it (`packing.can_share`).
    """

    budget: int
    ranks: Ranks
    shared: bool = True

    def micro_batches(
        self, rows: Sequence[TrainingRow], needed: Sequence[int]
    ) -> Iterator[tuple[list[int], bool]]:
        """Yields (indices into `rows`, whether they count): this rank's micro-batches. Every rank gets the
        same number; those that do not count only take part in collective operations.
        """
        if not needed:
            return
        groups = [
            [needed[index] for index in group]
            for group in cut([rows[index] for index in needed], self.budget, self.shared)
        ]
        mine = self.ranks.shard(groups)
        for turn in range(self.ranks.micro_batches_per_rank(len(groups))):
            yield (mine[turn], True) if turn < len(mine) else (groups[0], False)

    def map_rows(
        self, function: Callable[[list[TrainingRow]], Sequence[T]], rows: Sequence[TrainingRow]
    ) -> list[T]:
        """Run `function` without gradient on every micro-batch; it returns something for each of its rows ->
        those of all rows, in their order, on every rank.
        """
        results_by_index: list[tuple[int, T]] = []
        for group, counts in self.micro_batches(rows, range(len(rows))):
            with torch.no_grad():
                results = function([rows[index] for index in group])
            if counts:
                results_by_index.extend(zip(group, results, strict=True))
        by_row = dict(self.ranks.all_gather(results_by_index))
        return [by_row[index] for index in range(len(rows))]

    def score_rows(
        self, score: Callable[[list[TrainingRow]], TokenScores], rows: Sequence[TrainingRow]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Log-probs and entropies (nats) of each row's tokens, without gradient, on the CPU."""
        pairs = self.map_rows(
            lambda part: list(zip(*(split_by_row(values, part) for values in score(part)), strict=True)), rows
        )
        return [logprobs for logprobs, _ in pairs], [entropy for _, entropy in pairs]


def split_by_row(values: Tensor, rows: Sequence[TrainingRow]) -> tuple[Tensor, ...]:
    """values (tokens of all rows,) -> each row's, float32 on the CPU."""
    return values.float().cpu().split([len(row.ids) for row in rows])
