"""The plan of an optimiser batch: everything that the whole batch decides (loss mask, whitening, selected
tokens, weights), made before the batch is cut into micro-batches, so that how it is cut changes no number.
Every rank makes the same plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from pipelines.credit.whitening import whiten
from pipelines.objectives.aggregation import Aggregation, sequence_weights
from pipelines.objectives.covariance import covariance_figures
from pipelines.training.metrics import Metrics
from pipelines.training.policy_params import PolicyParams
from pipelines.training.training_row import TrainingRow

RowScorer = Callable[[Sequence[TrainingRow]], tuple[list[Tensor], list[Tensor]]]


@dataclass(frozen=True)
class BatchPlan:
    """An optimiser batch before it is cut. Per row: `loss_mask` and `selected` (tokens,) bool, `advantages`
    (tokens,), 0 outside the mask; `weights` and `kl_weights` are those of each token of the row. `figures`
    are of the whole batch.
    """

    rows: list[TrainingRow]
    loss_mask: list[Tensor]
    advantages: list[Tensor]
    selected: list[Tensor] | None
    weights: list[float]
    kl_weights: list[float]
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def with_gradient(self) -> list[int]:
        """Indices of the rows that can change the gradient."""
        if self.kl_weights:
            return list(range(len(self.rows)))
        selected = self.selected or [torch.zeros(0, dtype=torch.bool)] * len(self.rows)
        return [
            index
            for index, (advantages, chosen) in enumerate(zip(self.advantages, selected, strict=True))
            if bool(advantages.any()) or bool(chosen.any())
        ]

    @property
    def without_gradient(self) -> list[int]:
        """Indices of the other rows: they count in every denominator, and cost no backward pass."""
        with_gradient = set(self.with_gradient)
        return [index for index in range(len(self.rows)) if index not in with_gradient]

    @property
    def loss_tokens(self) -> int:
        """Tokens inside the loss mask, of all rows."""
        return sum(int(mask.sum()) for mask in self.loss_mask)

    def tokens(self, indices: Sequence[int] | None = None) -> int:
        """Response tokens of all rows, or of those at `indices`."""
        chosen = range(len(self.rows)) if indices is None else indices
        return sum(len(self.rows[index].ids) for index in chosen)


class _Scores(NamedTuple):
    """Of all tokens of a batch, (N,): log-probs that the objective's selection compares, entropies, and the
    log-probs that the mask looks at.
    """

    logprobs: Tensor
    entropy: Tensor
    mask_logprobs: Tensor


class BatchPlanner:
    """Makes plans by the configured mask and objective. `score` gives log-probs and entropies of rows under
    the policy as it is now.
    """

    def __init__(
        self, settings: PolicyParams, mask: ModuleType, objective: ModuleType, seed: int, score: RowScorer
    ) -> None:
        self._settings, self._mask, self._objective = settings, mask, objective
        self._seed, self._score = seed, score
        self._selects = hasattr(objective, "select")

    def plan(
        self, rows: list[TrainingRow], position: tuple[int, int, int], fresh: Sequence[bool]
    ) -> BatchPlan:
        """`position`: iteration, epoch and place of the batch, which seed its random choices. `fresh`, per
        row: the policy is still the one that sampled it.
        """
        settings, lengths = self._settings, [len(row.ids) for row in rows]
        scores = self._scores(rows, fresh)
        old_logprobs = torch.cat([row.old_logprobs for row in rows])
        advantages = torch.cat([row.advantages for row in rows])
        stale = ~torch.tensor(fresh).repeat_interleave(torch.tensor(lengths))
        loss_mask = torch.zeros_like(advantages, dtype=torch.bool)
        selected = torch.zeros_like(loss_mask) if self._selects else None
        weights: list[float] = []
        kl_weights: list[float] = []
        figures, generator = Metrics(), torch.Generator().manual_seed(_combined_seed(self._seed, *position))
        blocks = blocks_of(rows, settings.block)
        for sequences, part in blocks:
            loss_mask[part] = self._mask.keep(scores.mask_logprobs[part], scores.entropy[part], settings.mask)
            if settings.whitening.how != "none" and settings.whitened_over == "update":
                advantages[part] = whiten(
                    advantages[part], loss_mask[part], settings.whitening.how, settings.whitening.epsilon
                )
            if selected is not None:
                selected[part] = self._select(
                    scores.logprobs[part], old_logprobs[part], advantages[part], loss_mask[part], generator
                )
                block_figures = covariance_figures(scores.logprobs[part], advantages[part], selected[part])
                for name, value in block_figures.items():
                    figures.add(name, value / len(blocks))
                if getattr(self._objective, "MOVED_ONLY", False):
                    selected[part] &= stale[part]
            counts = self._token_counts(loss_mask[part], sequences, lengths)
            weights += self._row_weights(settings.aggregation, counts, sequences, len(blocks))
            if settings.kl.use == "loss":
                kl_weights += self._row_weights(settings.kl.aggregation, counts, sequences, len(blocks))
        advantages = torch.where(loss_mask, advantages, 0.0)
        return BatchPlan(
            rows,
            list(loss_mask.split(lengths)),
            list(advantages.split(lengths)),
            None if selected is None else list(selected.split(lengths)),
            weights,
            kl_weights,
            figures.sums(),
        )

    def _scores(self, rows: list[TrainingRow], fresh: Sequence[bool]) -> _Scores:
        """Returns the log-probs and entropies that the selection and the mask read. A forward pass is made
        only where they need the present policy's and a row was sampled by an earlier one.
        """
        settings, of_current = self._settings, self._settings.mask.of == "current"
        old_logprobs = torch.cat([row.old_logprobs for row in rows])
        logprobs, entropy = old_logprobs, torch.cat([row.entropy for row in rows])
        if (self._selects or of_current) and not all(fresh):
            current_logprobs, current_entropy = self._score(rows)
            logprobs = torch.cat(current_logprobs)
            if of_current:
                entropy = torch.cat(current_entropy)
        if of_current:
            return _Scores(logprobs, entropy, logprobs)
        if settings.cuts_by_probability:  # cutpoints and mask must see the same probabilities (spo.md 11)
            return _Scores(logprobs, entropy, torch.cat([row.sampler_logprobs for row in rows]))
        return _Scores(logprobs, entropy, old_logprobs)

    def _select(
        self,
        logprobs: Tensor,
        old_logprobs: Tensor,
        advantages: Tensor,
        loss_mask: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Returns (N,) bool, the tokens that the objective treats apart; the inputs are (N,), all tokens of a
        block.
        """
        chosen: Tensor = self._objective.select(
            logprobs, old_logprobs, advantages, loss_mask, self._settings.objective, generator
        )
        return chosen

    def _token_counts(
        self, loss_mask: Tensor, sequences: Sequence[range], lengths: Sequence[int]
    ) -> list[int]:
        """Of each sequence, the tokens that its mean is taken over: those inside the mask, or all."""
        counted = loss_mask if self._settings.mask.denominator == "kept" else torch.ones_like(loss_mask)
        sizes = [sum(lengths[index] for index in sequence) for sequence in sequences]
        return [int(piece.sum()) for piece in counted.split(sizes)]

    def _row_weights(
        self, aggregation: Aggregation, counts: Sequence[int], sequences: Sequence[range], blocks: int
    ) -> list[float]:
        """Returns the weight of each token of each row, so that the batch's loss is the mean over its
        blocks.
        """
        of_sequences = sequence_weights(counts, aggregation, self._settings.sampling.max_new_tokens)
        return [
            weight / blocks
            for weight, sequence in zip(of_sequences, sequences, strict=True)
            for _ in sequence
        ]


def sequences_of(rows: Sequence[TrainingRow]) -> list[range]:
    """Row indices of each sequence: neighbours of one response, else a row alone."""
    ends = [
        index
        for index, (row, following) in enumerate(pairwise(rows), 1)
        if row.sequence is None or row.sequence != following.sequence
    ]
    return [range(start, end) for start, end in pairwise([0, *ends, len(rows)])] if rows else []


def blocks_of(rows: Sequence[TrainingRow], size: int) -> list[tuple[list[range], slice]]:
    """Consecutive blocks of `size` sequences (0: one block): the row indices of each sequence, and the slice
    of the block's tokens in flat tensors.
    """
    sequences = sequences_of(rows)
    size = size or max(1, len(sequences))
    blocks, token = [], 0
    for start in range(0, len(sequences), size):
        members = sequences[start : start + size]
        end = token + sum(len(rows[index].ids) for sequence in members for index in sequence)
        blocks.append((members, slice(token, end)))
        token = end
    return blocks


def _combined_seed(*parts: int) -> int:
    value = 0
    for part in parts:
        value = (value * 1_000_003 + part + 1) % (1 << 63)
    return value
