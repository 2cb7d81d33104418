"""The policy update: rows in optimiser batches, batches in micro-batches, one denominator for each batch
however it is cut or divided.

Everything that a whole batch decides (mask, whitening, selections, weights) is a plan made before it is cut;
every rank makes the same one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise
from types import ModuleType

import torch
from torch import Tensor

from pipelines.credit.whitening import whiten
from pipelines.models.logprobs import TokenScores
from pipelines.models.packing import score_rows
from pipelines.objectives.aggregation import sequence_weights
from pipelines.objectives.clip import LOG_RATIO_LIMIT
from pipelines.objectives.covariance import covariance_figures
from pipelines.objectives.divergence import kl_estimate
from pipelines.seams import load
from pipelines.training.batches import permutation
from pipelines.training.collection import TrainingRow
from pipelines.training.engine import Engine
from pipelines.training.guard import check_finite
from pipelines.training.micro_batches import MicroBatcher
from pipelines.training.policy_params import PolicyParams

SHOWN = 64  # rows without a gradient that are scored for the log alone, evenly over those of an update


@dataclass(frozen=True)
class BatchPlan:
    """An optimiser batch before it is cut; per row, everything that the whole batch decides. `weights` are
    those of one token.
    """

    rows: list[TrainingRow]
    kept: list[Tensor]
    advantages: list[Tensor]
    selected: list[Tensor] | None
    weights: list[float]
    kl_weights: list[float]
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def needed(self) -> list[int]:
        """Rows that can change the gradient."""
        touched = [bool(part.any()) for part in self.advantages]
        if self.selected is not None:
            touched = [found or bool(part.any()) for found, part in zip(touched, self.selected, strict=True)]
        return [index for index, found in enumerate(touched) if found or self.kl_weights]

    @property
    def kept_tokens(self) -> int:
        """Tokens that the mask leaves, of all rows."""
        return sum(int(part.sum()) for part in self.kept)

    @property
    def resting(self) -> list[int]:
        """The other rows: they count in every denominator, and cost no backward pass."""
        needed = set(self.needed)
        return [index for index in range(len(self.rows)) if index not in needed]

    def tokens(self, indices: Sequence[int] | None = None) -> int:
        """Response tokens of all rows, or of those at `indices`."""
        return sum(
            len(self.rows[index].ids) for index in (range(len(self.rows)) if indices is None else indices)
        )


class Updater:
    """Applies the configured mask and objective to rows. How rows are cut into micro-batches changes no
    result but by rounding.
    """

    def __init__(self, engine: Engine, settings: PolicyParams, seed: int, batches: MicroBatcher) -> None:
        self._engine, self._settings, self._seed, self._batches = engine, settings, seed, batches
        self._mask: ModuleType = load("pipelines.objectives.masks", settings.mask.kind)
        self._objective: ModuleType = load("pipelines.objectives", settings.objective.kind)
        self._selects = hasattr(self._objective, "select")

    def scores(self, rows: Sequence[TrainingRow]) -> tuple[list[Tensor], list[Tensor]]:
        """Log-probs and entropies of each row's tokens under the policy as it is now, without gradient."""
        return self._batches.score_rows(self._score, rows)

    def _score(self, rows: Sequence[TrainingRow], entropy: bool = True) -> TokenScores:
        return self._engine.apply(score_rows, rows, self._settings.sampling.temperature, entropy)

    def update(
        self,
        rows: list[TrainingRow],
        iteration: int,
        factor: float,
        update_critic: Callable[[list[TrainingRow], float], dict[str, float]] | None = None,
        learn: bool = True,
    ) -> dict[str, float]:
        """All epochs and updates of one iteration; returns means over its updates. No rows: nothing happens.

        `update_critic` is called with the rows of each update: the critic's turn. `learn` False leaves the
        policy as it is. Figures are means over all rows of the updates: those without a gradient are scored
        for them, SHOWN of an update at most.
        """
        settings, norms, skipped = self._settings, list[float](), 0
        figures = defaultdict[str, float](float)
        if settings.whitening.how != "none" and settings.whitened_over == "rollout":
            _whiten_rollout(rows, settings)
        sequences = _sequences(rows)
        tokens, kept, turns, moved = 0, 0, 0, False
        others, shown, apart = (
            defaultdict[str, float](float),
            defaultdict[str, float](float),
            dict[str, float](),
        )
        for epoch in range(settings.epochs):
            order = permutation(len(sequences), self._seed, iteration, epoch)
            for start, stop in pairwise(even_cuts(len(order), settings.updates_per_epoch)):
                batch = [rows[index] for number in order[start:stop] for index in sequences[number]]
                if update_critic is not None:
                    for name, value in update_critic(batch, factor).items():
                        others[name] += value
                    turns += 1
                if not learn:
                    continue
                fresh = [not moved and row.iteration == iteration for row in batch]
                plan = self.plan_batch(batch, (iteration, epoch, start), fresh)
                sums = _added(self.accumulate_gradient(plan), self._score_resting(plan))
                # no backward pass: momentum alone must not move the weights, nor can every engine step
                if not plan.needed:
                    norms.append(0.0)
                elif settings.max_mean_ratio and sums["ratio"] > settings.max_mean_ratio * plan.kept_tokens:
                    self._engine.zero_grad()
                    skipped += 1
                else:
                    norms.append(self._engine.step(factor))
                    moved = True
                if epoch == start == 0 and all(fresh):
                    apart = {
                        "mismatch": sums["mismatch"] / max(1, plan.tokens()),
                        "mismatch_max": sums["mismatch_max"],
                    }
                tokens, kept = tokens + plan.tokens(), kept + plan.kept_tokens
                for into, found in ((shown, plan.figures), (figures, sums)):
                    for name, value in found.items():
                        into[name] += value
        aside = {name: value / turns for name, value in others.items()}
        if not norms and not skipped:
            return {"updates": 0} | aside
        updates = len(norms) + skipped
        means = {"loss": figures.pop("loss", 0.0) / updates, "kept_tokens": kept / max(1, tokens)} | apart
        means["update_kl"] = figures.pop("update_kl", 0.0) / max(1, tokens)
        means |= {
            name: value / max(1, kept) for name, value in figures.items() if not name.startswith("mismatch")
        }
        means |= {name: value / updates for name, value in shown.items()}
        if settings.max_mean_ratio:
            means["skipped_updates"] = skipped
        return (
            means
            | aside
            | {"grad_norm": sum(norms) / max(1, len(norms)), "updates": len(norms), "trained_tokens": tokens}
        )

    def sampler_mismatch(self, rows: Sequence[TrainingRow]) -> dict[str, float]:
        """How far the policy's log-probs lie from the sampler's, mean and largest, on SHOWN of fresh rows,
        evenly over them.
        """
        if not rows:
            return {}
        shown = [rows[len(rows) * number // SHOWN] for number in range(SHOWN)] if len(rows) > SHOWN else rows
        apart = (torch.cat(self.scores(shown)[0]) - torch.cat([row.sampler_logprobs for row in shown])).abs()
        return {"mismatch": float(apart.mean()), "mismatch_max": float(apart.max())}

    def plan_batch(
        self, rows: list[TrainingRow], position: tuple[int, int, int] = (0, 0, 0), fresh: Sequence[bool] = ()
    ) -> BatchPlan:
        """Decide what the whole batch decides. `fresh`, per row: the policy is still the one that sampled it;
        nothing: of no row.
        """
        settings, lengths = self._settings, [len(row.ids) for row in rows]
        fresh = fresh or [False] * len(rows)
        old = torch.cat([row.old_logprobs for row in rows])
        logprobs, entropy = old, torch.cat([row.entropy for row in rows])
        if (self._selects or settings.mask.of == "current") and not all(fresh):
            current = self.scores(rows)
            logprobs, now = torch.cat(current[0]), torch.cat(current[1])
            if settings.mask.of == "current":
                entropy = now
        seen = old
        if settings.mask.of == "current":
            seen = logprobs
        elif settings.cuts_by_probability:  # cutpoints and mask must see the same probabilities (spo.md 11)
            seen = torch.cat([row.sampler_logprobs for row in rows])
        advantages = torch.cat([row.advantages for row in rows])
        moved = ~torch.tensor(fresh).repeat_interleave(torch.tensor(lengths))
        kept = torch.zeros_like(advantages, dtype=torch.bool)
        selected = torch.zeros_like(kept) if self._selects else None
        weights: list[float] = []
        kl_weights: list[float] = []
        figures = defaultdict[str, float](float)
        blocks = _blocks(rows, settings.block)
        generator, pulled = (
            torch.Generator().manual_seed(_number(self._seed, *position)),
            settings.kl.use == "loss",
        )
        for members, part in blocks:
            kept[part] = self._mask.keep(seen[part], entropy[part], settings.mask)
            if settings.whitening.how != "none" and settings.whitened_over == "update":
                advantages[part] = whiten(
                    advantages[part], kept[part], settings.whitening.how, settings.whitening.epsilon
                )
            if selected is not None:
                selected[part] = self._objective.select(
                    logprobs[part], old[part], advantages[part], kept[part], settings.objective, generator
                )
                for name, value in covariance_figures(
                    logprobs[part], advantages[part], selected[part]
                ).items():
                    figures[name] += value / len(blocks)
                if getattr(self._objective, "MOVED_ONLY", False):
                    selected[part] &= moved[part]
            counted = kept[part] if settings.mask.denominator == "kept" else torch.ones_like(kept[part])
            counts = [
                int(piece.sum())
                for piece in counted.split([sum(lengths[index] for index in each) for each in members])
            ]
            for aggregation, into in [(settings.aggregation, weights), (settings.kl.aggregation, kl_weights)][
                : 1 + pulled
            ]:
                found = sequence_weights(counts, aggregation, settings.sampling.max_new_tokens)
                into += [
                    weight / len(blocks) for weight, each in zip(found, members, strict=True) for _ in each
                ]
        advantages = torch.where(kept, advantages, 0.0)
        split = None if selected is None else list(selected.split(lengths))
        return BatchPlan(
            rows,
            list(kept.split(lengths)),
            list(advantages.split(lengths)),
            split,
            weights,
            kl_weights,
            figures,
        )

    def accumulate_gradient(self, plan: BatchPlan) -> dict[str, float]:
        """Add the gradient of one optimiser batch to the engine; returns its loss, and sums over its tokens,
        of all ranks.
        """
        sums = defaultdict[str, float](float)
        for group, real in self._batches.micro_batches(plan.rows, plan.needed):
            self._micro_batch(plan, group, sums, real)
        return reduce(_added, self._batches.ranks.all_gather([dict(sums)]), defaultdict(float))

    def _micro_batch(self, plan: BatchPlan, group: list[int], sums: dict[str, float], real: bool) -> None:
        """`real` False: take part in the collective passes, add nothing."""
        settings, device, rows = (
            self._settings,
            self._engine.placement.device,
            [plan.rows[index] for index in group],
        )
        logprobs = self._score(rows, entropy=False).logprobs
        if not real:
            self._engine.backward(logprobs.sum() * 0.0)
            return
        check_finite(logprobs, rows, "log-prob of the policy")
        part = _Part.of(plan, group, device)
        losses, figures = self._objective.policy_loss(
            logprobs, part.old, part.advantages, part.selected, settings.objective
        )
        loss = (torch.where(part.kept, losses, 0.0) * part.each(plan.weights)).sum()
        if plan.kl_weights:
            reference = torch.cat(
                [row.reference_logprobs for row in rows if row.reference_logprobs is not None]
            ).to(device)
            divergence = torch.where(part.kept, kl_estimate(logprobs, reference, settings.kl.estimator), 0.0)
            loss = loss + settings.kl.coef * (divergence * part.each(plan.kl_weights)).sum()
            sums["kl"] += float(divergence.detach().sum())
        self._engine.backward(loss)
        check_finite(loss.detach().reshape(1), rows, "loss")
        sums["loss"] += float(loss.detach())
        part.tally(logprobs.detach(), figures, sums)

    def _score_resting(self, plan: BatchPlan) -> dict[str, float]:
        """What the rows without a gradient add to a batch's sums: estimated from SHOWN of them, and exact
        where the mean ratio decides whether the update is made. Costs a forward pass of those.
        """
        resting = plan.resting
        count = len(resting) if self._settings.max_mean_ratio else min(SHOWN, len(resting))
        shown = [resting[len(resting) * number // count] for number in range(count)]
        if not shown:
            return {}
        rows = [plan.rows[index] for index in shown]
        logprobs, part, sums = (
            torch.cat(self.scores(rows)[0]),
            _Part.of(plan, shown, torch.device("cpu")),
            defaultdict[str, float](float),
        )
        check_finite(logprobs, rows, "log-prob of the policy")
        _, figures = self._objective.policy_loss(
            logprobs, part.old, part.advantages, part.selected, self._settings.objective
        )
        part.tally(logprobs, figures, sums)
        scale = plan.tokens(resting) / plan.tokens(shown)
        return {name: value if name == "mismatch_max" else value * scale for name, value in sums.items()}


@dataclass(frozen=True)
class _Part:
    """Some rows of a plan as flat tensors, (tokens of these rows,)."""

    old: Tensor
    sampler: Tensor
    kept: Tensor
    advantages: Tensor
    selected: Tensor | None
    lengths: Tensor
    group: Sequence[int]

    @classmethod
    def of(cls, plan: BatchPlan, group: Sequence[int], device: torch.device) -> _Part:
        """The rows at `group`."""

        def flat(parts: Sequence[Tensor]) -> Tensor:
            return torch.cat([parts[index] for index in group]).to(device)

        return cls(
            flat([row.old_logprobs for row in plan.rows]),
            flat([row.sampler_logprobs for row in plan.rows]),
            flat(plan.kept),
            flat(plan.advantages),
            None if plan.selected is None else flat(plan.selected),
            torch.tensor([len(plan.rows[index].ids) for index in group], device=device),
            group,
        )

    def each(self, weights: Sequence[float]) -> Tensor:
        """The weights of the plan's rows, for each token."""
        return torch.tensor(
            [weights[index] for index in self.group], device=self.old.device
        ).repeat_interleave(self.lengths)

    def tally(self, logprobs: Tensor, figures: dict[str, Tensor], sums: dict[str, float]) -> None:
        """Add up the figures of tokens: the objective's and the ratio over kept ones, the rest over all."""
        apart = (logprobs - self.sampler).abs()
        ratio = (logprobs - self.old).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
        sums["update_kl"] += float(kl_estimate(self.old, logprobs, "k3").sum())
        sums["mismatch"] += float(apart.sum())
        sums["mismatch_max"] = max(sums["mismatch_max"], float(apart.max()))
        for name, values in {"ratio": ratio, **figures}.items():
            sums[name] += float(torch.where(self.kept, values, 0.0).sum())


def _added(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    """Sums of two parts of a batch."""
    total = defaultdict[str, float](float, first)
    for name, value in second.items():
        total[name] = max(total[name], value) if name == "mismatch_max" else total[name] + value
    return total


def even_cuts(count: int, parts: int) -> list[int]:
    """The edges of at most `parts` parts of `count` things, none empty, whose sizes differ by one at most."""
    return sorted({count * number // parts for number in range(parts + 1)})


def _sequences(rows: Sequence[TrainingRow]) -> list[range]:
    """The rows of each sequence: neighbours of one response, else a row alone."""
    ends = [
        index
        for index, (one, other) in enumerate(pairwise(rows), 1)
        if one.sequence is None or one.sequence != other.sequence
    ]
    return [range(start, end) for start, end in pairwise([0, *ends, len(rows)])] if rows else []


def _blocks(rows: Sequence[TrainingRow], size: int) -> list[tuple[list[range], slice]]:
    """Sequences in consecutive blocks of `size` (0: one block): their rows, and the slice of their tokens in
    flat tensors.
    """
    sequences = _sequences(rows)
    size = size or max(1, len(sequences))
    found, token = [], 0
    for start in range(0, len(sequences), size):
        members = sequences[start : start + size]
        end = token + sum(len(rows[index].ids) for each in members for index in each)
        found.append((members, slice(token, end)))
        token = end
    return found


def _whiten_rollout(rows: list[TrainingRow], settings: PolicyParams) -> None:
    if not rows:
        return
    flat = torch.cat([row.advantages for row in rows])
    white = whiten(
        flat, torch.ones_like(flat, dtype=torch.bool), settings.whitening.how, settings.whitening.epsilon
    )
    for row, part in zip(rows, white.split([len(row.ids) for row in rows]), strict=True):
        row.advantages = part


def _number(*parts: int) -> int:
    value = 0
    for part in parts:
        value = (value * 1_000_003 + part + 1) % (1 << 63)
    return value
