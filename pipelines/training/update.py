"""The policy update: rows in optimiser batches, batches in micro-batches, one denominator for each batch
however it is cut or divided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType

import torch
from torch import Tensor

from pipelines.credit.whitening import whiten
from pipelines.models.logprobs import TokenScores
from pipelines.models.packing import score_rows
from pipelines.objectives.clip import LOG_RATIO_LIMIT
from pipelines.objectives.divergence import kl_estimate
from pipelines.seams import load
from pipelines.training.batch_plan import BatchPlan, BatchPlanner, sequences_of
from pipelines.training.batches import permutation
from pipelines.training.engine import Engine
from pipelines.training.guard import check_finite
from pipelines.training.metrics import Metrics
from pipelines.training.micro_batches import MicroBatcher
from pipelines.training.policy_params import PolicyParams
from pipelines.training.training_row import TrainingRow
from pipelines.training.update_metrics import UpdateMetrics

LOGGED_ROWS = 64  # rows without a gradient that are scored for the log alone, evenly over those of an update


class Updater:
    """Applies the configured mask and objective to rows. How rows are cut into micro-batches changes no
    result but by rounding.
    """

    def __init__(self, engine: Engine, settings: PolicyParams, seed: int, batches: MicroBatcher) -> None:
        self._engine, self._settings, self._seed, self._batches = engine, settings, seed, batches
        self._objective: ModuleType = load("pipelines.objectives", settings.objective.kind)
        mask = load("pipelines.objectives.masks", settings.mask.kind)
        self._planner = BatchPlanner(settings, mask, self._objective, seed, lambda rows: self.scores(rows))

    def update(
        self,
        rows: list[TrainingRow],
        iteration: int,
        lr_factor: float,
        update_critic: Callable[[list[TrainingRow], float], dict[str, float]] | None = None,
        learn: bool = True,
    ) -> dict[str, float]:
        """Runs all epochs and updates of one iteration, and returns means over its updates. Without rows
        nothing happens.

        `update_critic` is called with the rows of each update and `lr_factor`. `learn` False leaves the
        policy as it is. Figures are means over all rows of the updates: those without a gradient are scored
        for them, LOGGED_ROWS of an update at most.
        """
        settings, metrics, moved = self._settings, UpdateMetrics(), False
        if settings.whitening.how != "none" and settings.whitened_over == "rollout":
            _whiten_rollout(rows, settings)
        for (epoch, start), batch in self._optimiser_batches(rows, iteration):
            if update_critic is not None:
                metrics.critic.add_sums(update_critic(batch, lr_factor))
            if not learn:
                continue
            fresh = [not moved and row.iteration == iteration for row in batch]
            plan = self.plan_batch(batch, (iteration, epoch, start), fresh)
            sums = self.accumulate_gradient(plan)
            sums.merge(*self._sums_without_gradient(plan))
            # no backward pass: momentum alone must not move the weights, nor can every engine step
            if not plan.with_gradient:
                metrics.grad_norms.append(0.0)
            elif settings.max_mean_ratio and sums.sum("ratio") > settings.max_mean_ratio * plan.loss_tokens:
                self._engine.zero_grad()
                metrics.skipped += 1
            else:
                metrics.grad_norms.append(self._engine.step(lr_factor))
                metrics.updates, moved = metrics.updates + 1, True
            metrics.add_batch(plan, sums, first=epoch == start == 0 and all(fresh))
        return metrics.row(show_skipped=settings.max_mean_ratio is not None)

    def scores(self, rows: Sequence[TrainingRow]) -> tuple[list[Tensor], list[Tensor]]:
        """Log-probs and entropies of each row's tokens under the policy as it is now, without gradient."""
        return self._batches.score_rows(self._score, rows)

    def sampler_mismatch(self, rows: Sequence[TrainingRow]) -> dict[str, float]:
        """Returns the mean and the largest difference between the log-probs of policy and sampler, on
        LOGGED_ROWS fresh rows that are spread evenly.
        """
        if not rows:
            return {}
        shown = [rows[index] for index in _evenly(len(rows), LOGGED_ROWS)]
        apart = (torch.cat(self.scores(shown)[0]) - torch.cat([row.sampler_logprobs for row in shown])).abs()
        return {"mismatch": float(apart.mean()), "mismatch_max": float(apart.max())}

    def plan_batch(
        self, rows: list[TrainingRow], position: tuple[int, int, int] = (0, 0, 0), fresh: Sequence[bool] = ()
    ) -> BatchPlan:
        """`BatchPlanner.plan`; without `fresh`, of rows that an older policy sampled."""
        return self._planner.plan(rows, position, fresh or [False] * len(rows))

    def accumulate_gradient(self, plan: BatchPlan) -> Metrics:
        """Add the gradient of one optimiser batch to the engine; returns its loss, and sums over the tokens
        of its rows with a gradient, of all ranks.
        """
        own, total = Metrics(), Metrics()
        for group, counts in self._batches.micro_batches(plan.rows, plan.with_gradient):
            self._backward(plan, group, own, counts)
        for sums in self._batches.ranks.all_gather([own]):
            total.merge(sums)
        return total

    def _optimiser_batches(
        self, rows: list[TrainingRow], iteration: int
    ) -> Iterator[tuple[tuple[int, int], list[TrainingRow]]]:
        """Yields ((epoch, index in it), rows) of each update: whole sequences in a new shuffled order per
        epoch.
        """
        sequences = sequences_of(rows)
        for epoch in range(self._settings.epochs):
            order = permutation(len(sequences), self._seed, iteration, epoch)
            for start, stop in pairwise(even_cuts(len(order), self._settings.updates_per_epoch)):
                batch = [rows[index] for number in order[start:stop] for index in sequences[number]]
                yield (epoch, start), batch

    def _score(self, rows: Sequence[TrainingRow], entropy: bool = True) -> TokenScores:
        return self._engine.apply(score_rows, rows, self._settings.sampling.temperature, entropy)

    def _backward(self, plan: BatchPlan, group: list[int], sums: Metrics, counts: bool) -> None:
        """Forward and backward of the rows at `group`. `counts` False: take part in the collective passes,
        add nothing.
        """
        settings, device = self._settings, self._engine.placement.device
        rows = [plan.rows[index] for index in group]
        logprobs = self._score(rows, entropy=False).logprobs
        if not counts:
            self._engine.backward(logprobs.sum() * 0.0)
            return
        check_finite(logprobs, rows, "log-prob of the policy")
        tokens = _Tokens.of(plan, group, device)
        losses, figures = self._objective.policy_loss(
            logprobs, tokens.old_logprobs, tokens.advantages, tokens.selected, settings.objective
        )
        loss = (torch.where(tokens.loss_mask, losses, 0.0) * tokens.repeated(plan.weights)).sum()
        if plan.kl_weights:
            reference = torch.cat(
                [row.reference_logprobs for row in rows if row.reference_logprobs is not None]
            ).to(device)
            estimates = kl_estimate(logprobs, reference, settings.kl.estimator)
            divergence = torch.where(tokens.loss_mask, estimates, 0.0)
            loss = loss + settings.kl.coef * (divergence * tokens.repeated(plan.kl_weights)).sum()
            sums.add("kl", float(divergence.detach().sum()))
        self._engine.backward(loss)
        check_finite(loss.detach().reshape(1), rows, "loss")
        sums.add("loss", float(loss.detach()))
        tokens.add_figures(logprobs.detach(), figures, sums)

    def _sums_without_gradient(self, plan: BatchPlan) -> tuple[Metrics, float]:
        """Sums over the tokens of rows without a gradient, and the scale from those that were scored to all:
        LOGGED_ROWS of them are, or all where the mean ratio decides whether the update is made. Costs a
        forward pass of those.
        """
        indices = plan.without_gradient
        scored = indices
        if not self._settings.max_mean_ratio:
            scored = [indices[place] for place in _evenly(len(indices), LOGGED_ROWS)]
        if not scored:
            return Metrics(), 1.0
        rows, sums = [plan.rows[index] for index in scored], Metrics()
        logprobs, tokens = torch.cat(self.scores(rows)[0]), _Tokens.of(plan, scored, torch.device("cpu"))
        check_finite(logprobs, rows, "log-prob of the policy")
        _, figures = self._objective.policy_loss(
            logprobs, tokens.old_logprobs, tokens.advantages, tokens.selected, self._settings.objective
        )
        tokens.add_figures(logprobs, figures, sums)
        return sums, plan.tokens(indices) / plan.tokens(scored)


@dataclass(frozen=True)
class _Tokens:
    """The rows of a plan at `group` as flat tensors, (tokens of these rows,); `lengths` (rows,)."""

    old_logprobs: Tensor
    sampler_logprobs: Tensor
    loss_mask: Tensor
    advantages: Tensor
    selected: Tensor | None
    lengths: Tensor
    group: Sequence[int]

    @classmethod
    def of(cls, plan: BatchPlan, group: Sequence[int], device: torch.device) -> _Tokens:
        def flat(parts: Sequence[Tensor]) -> Tensor:
            return torch.cat([parts[index] for index in group]).to(device)

        return cls(
            flat([row.old_logprobs for row in plan.rows]),
            flat([row.sampler_logprobs for row in plan.rows]),
            flat(plan.loss_mask),
            flat(plan.advantages),
            None if plan.selected is None else flat(plan.selected),
            torch.tensor([len(plan.rows[index].ids) for index in group], device=device),
            group,
        )

    def repeated(self, row_values: Sequence[float]) -> Tensor:
        """Values of the plan's rows, for each token of those at `group`."""
        values = torch.tensor([row_values[index] for index in self.group], device=self.old_logprobs.device)
        return values.repeat_interleave(self.lengths)

    def add_figures(self, logprobs: Tensor, figures: dict[str, Tensor], sums: Metrics) -> None:
        """Add the figures of tokens: the objective's and the ratio over those in the mask, the rest over
        all.
        """
        mismatch = (logprobs - self.sampler_logprobs).abs()
        ratio = (logprobs - self.old_logprobs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
        sums.add("update_kl", float(kl_estimate(self.old_logprobs, logprobs, "k3").sum()))
        sums.add("mismatch", float(mismatch.sum()))
        sums.add_maximum("mismatch_max", float(mismatch.max()))
        for name, values in {"ratio": ratio, **figures}.items():
            sums.add(name, float(torch.where(self.loss_mask, values, 0.0).sum()))


def even_cuts(count: int, parts: int) -> list[int]:
    """Returns the boundaries of at most `parts` non-empty parts of `count` items, whose sizes differ by at
    most one.
    """
    return sorted({count * number // parts for number in range(parts + 1)})


def _evenly(count: int, limit: int) -> list[int]:
    """Indices of at most `limit` of `count` things, evenly over them."""
    size = min(count, limit)
    return [count * number // size for number in range(size)]


def _whiten_rollout(rows: list[TrainingRow], settings: PolicyParams) -> None:
    if not rows:
        return
    flat = torch.cat([row.advantages for row in rows])
    everything = torch.ones_like(flat, dtype=torch.bool)
    white = whiten(flat, everything, settings.whitening.how, settings.whitening.epsilon)
    for row, part in zip(rows, white.split([len(row.ids) for row in rows]), strict=True):
        row.advantages = part
