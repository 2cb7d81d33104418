"""The policy update: rows in optimiser batches, batches in micro-batches, one denominator for each batch however it is cut or divided.

Everything that a whole batch decides (mask, whitening, selections, weights) is a plan made before it is cut; every rank makes the same one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import ModuleType

import torch
from torch import Tensor

from pipelines.credit.whitening import whiten
from pipelines.models.logprobs import TokenScores
from pipelines.models.packing import score_rows
from pipelines.objectives.aggregation import sequence_weights
from pipelines.objectives.covariance import covariance_figures
from pipelines.objectives.divergence import kl_estimate
from pipelines.seams import load
from pipelines.training.batches import shuffled
from pipelines.training.collection import Row
from pipelines.training.engine import Engine
from pipelines.training.guard import check_finite
from pipelines.training.micro_batches import MicroBatches
from pipelines.training.policy_params import PolicyParams

SHOWN = 64  # of an iteration's own rows that show how far sampler and trainer are apart, where its first update does not


@dataclass(frozen=True)
class Plan:
    """An optimiser batch before it is cut; per row, everything that the whole batch decides. `weights` are those of one token."""

    rows: list[Row]
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


class Updater:
    """Applies the configured mask and objective to rows. How rows are cut into micro-batches changes no result but by rounding."""

    def __init__(self, engine: Engine, settings: PolicyParams, seed: int, batches: MicroBatches) -> None:
        self._engine, self._settings, self._seed, self._batches = engine, settings, seed, batches
        self._mask: ModuleType = load("pipelines.objectives.masks", settings.mask.kind)
        self._objective: ModuleType = load("pipelines.objectives", settings.objective.kind)
        self._selects = hasattr(self._objective, "select")

    def scores(self, rows: Sequence[Row]) -> tuple[list[Tensor], list[Tensor]]:
        """Log-probs and entropies of each row's tokens under the policy as it is now, without gradient."""
        return self._batches.scores(self._score, rows)

    def _score(self, rows: Sequence[Row], entropy: bool = True) -> TokenScores:
        return self._engine.apply(score_rows, rows, self._settings.sampling.temperature, entropy)

    def update(
        self,
        rows: list[Row],
        iteration: int,
        factor: float,
        beside: Callable[[list[Row], float], dict[str, float]] | None = None,
        learn: bool = True,
    ) -> dict[str, float]:
        """All epochs and updates of one iteration; returns means over its updates. No rows: nothing happens.

        `beside` is called with the rows of each update: the critic's turn. `learn` False leaves the policy as it is.
        """
        settings, norms, skipped = self._settings, list[float](), 0
        figures = defaultdict[str, float](float)
        if settings.whitening.how != "none" and settings.whitened_over == "rollout":
            _whiten_rollout(rows, settings)
        sequences = _sequences(rows)
        tokens, turns, others, shown = 0.0, 0, defaultdict[str, float](float), defaultdict[str, float](float)
        for epoch in range(settings.epochs):
            order = shuffled(len(sequences), self._seed, iteration, epoch)
            for start, stop in pairwise(even_cuts(len(order), settings.updates_per_epoch)):
                batch = [rows[index] for number in order[start:stop] for index in sequences[number]]
                if beside is not None:
                    for name, value in beside(batch, factor).items():
                        others[name] += value
                    turns += 1
                if not learn:
                    continue
                plan = self.plan(batch, (iteration, epoch, start), first=epoch == start == 0)
                sums = self.batch(plan)
                for name, value in plan.figures.items():
                    shown[name] += value
                if not plan.needed:  # no backward pass: momentum alone must not move the weights, nor can every engine step
                    norms.append(0.0)
                elif settings.max_mean_ratio and sums["ratio"] > settings.max_mean_ratio * sums["kept"]:
                    self._engine.discard()
                    skipped += 1
                else:
                    norms.append(self._engine.step(factor))
                if epoch == start == 0 and settings.replay is None and not plan.needed:
                    figures |= self.mismatch(batch)
                elif epoch == start == 0 and settings.replay is None:  # the weights were still those that sampled
                    figures["mismatch"] = sums["mismatch"] / max(1.0, sums["tokens"])
                    figures["mismatch_max"] = sums["mismatch_max"]
                tokens += sums["tokens"]
                for name, value in sums.items():
                    if name not in ("tokens", "mismatch", "mismatch_max"):
                        figures[name] += value
        aside = {name: value / turns for name, value in others.items()}
        if not norms and not skipped:
            return {"updates": 0} | aside
        updates = len(norms) + skipped
        kept = max(1.0, figures.pop("kept", 0.0))
        means = {"loss": figures.pop("loss", 0.0) / updates, "kept_tokens": kept / max(1.0, tokens)}
        means |= {name: figures.pop(name) for name in ("mismatch", "mismatch_max") if name in figures}
        means["update_kl"] = figures.pop("update_kl", 0.0) / max(1.0, tokens)
        means |= {name: value / kept for name, value in figures.items()} | {name: value / updates for name, value in shown.items()}
        if settings.max_mean_ratio:
            means["skipped_updates"] = skipped
        return means | aside | {"grad_norm": sum(norms) / max(1, len(norms)), "updates": len(norms), "trained_tokens": tokens}

    def mismatch(self, rows: Sequence[Row]) -> dict[str, float]:
        """How far the policy's log-probs lie from the sampler's, mean and largest, on the first SHOWN of fresh rows."""
        if not rows:
            return {}
        shown = rows[:SHOWN]
        apart = (torch.cat(self.scores(shown)[0]) - torch.cat([row.sampler_logprobs for row in shown])).abs()
        return {"mismatch": float(apart.mean()), "mismatch_max": float(apart.max())}

    def plan(self, rows: list[Row], position: tuple[int, int, int] = (0, 0, 0), first: bool = False) -> Plan:
        """Decide what the whole batch decides. `first`: the policy is still the one whose log-probs the rows hold."""
        settings, lengths = self._settings, [len(row.ids) for row in rows]
        old = torch.cat([row.old_logprobs for row in rows])
        logprobs, entropy = old, torch.cat([row.entropy for row in rows])
        if (self._selects or settings.mask.of == "current") and not (first and settings.replay is None):
            current = self.scores(rows)
            logprobs, now = torch.cat(current[0]), torch.cat(current[1])
            if settings.mask.of == "current":
                entropy = now
        seen = old
        if settings.mask.of == "current":
            seen = logprobs
        elif settings.cuts_by_probability:  # cutpoints and mask must see the same probabilities (methods/spo.md section 11)
            seen = torch.cat([row.sampler_logprobs for row in rows])
        advantages = torch.cat([row.advantages for row in rows])
        kept = torch.zeros_like(advantages, dtype=torch.bool)
        selected = torch.zeros_like(kept) if self._selects else None
        weights: list[float] = []
        kl_weights: list[float] = []
        figures = defaultdict[str, float](float)
        blocks = _blocks(rows, settings.block)
        generator, pulled = torch.Generator().manual_seed(_number(self._seed, *position)), settings.kl.use == "loss"
        for members, part in blocks:
            kept[part] = self._mask.keep(seen[part], entropy[part], settings.mask)
            if settings.whitening.how != "none" and settings.whitened_over == "update":
                advantages[part] = whiten(advantages[part], kept[part], settings.whitening.how, settings.whitening.epsilon)
            if selected is not None:
                selected[part] = self._objective.select(
                    logprobs[part], old[part], advantages[part], kept[part], settings.objective, generator
                )
                for name, value in covariance_figures(logprobs[part], advantages[part], selected[part]).items():
                    figures[name] += value / len(blocks)
            counted = kept[part] if settings.mask.denominator == "kept" else torch.ones_like(kept[part])
            counts = [int(piece.sum()) for piece in counted.split([sum(lengths[index] for index in each) for each in members])]
            for aggregation, into in [(settings.aggregation, weights), (settings.kl.aggregation, kl_weights)][: 1 + pulled]:
                found = sequence_weights(counts, aggregation, settings.sampling.max_new_tokens)
                into += [weight / len(blocks) for weight, each in zip(found, members, strict=True) for _ in each]
        advantages = torch.where(kept, advantages, 0.0)
        split = None if selected is None else list(selected.split(lengths))
        return Plan(rows, list(kept.split(lengths)), list(advantages.split(lengths)), split, weights, kl_weights, figures)

    def batch(self, plan: Plan) -> dict[str, float]:
        """Add the gradient of one optimiser batch to the engine; returns its loss, and sums over its tokens, of all ranks."""
        sums = defaultdict[str, float](float)
        for group, real in self._batches.turns(plan.rows, plan.needed):
            self._micro_batch(plan, group, sums, real)
        total = defaultdict[str, float](float)
        for part in self._batches.ranks.gather([dict(sums)]):
            for name, value in part.items():
                total[name] = max(total[name], value) if name == "mismatch_max" else total[name] + value
        return total

    def _micro_batch(self, plan: Plan, group: list[int], sums: dict[str, float], real: bool) -> None:
        """`real` False: take part in the collective passes, add nothing."""
        settings, device, rows = self._settings, self._engine.placement.device, [plan.rows[index] for index in group]
        lengths = torch.tensor([len(row.ids) for row in rows])

        def flat(parts: list[Tensor]) -> Tensor:
            return torch.cat(parts).to(device)

        def each(weights: list[float]) -> Tensor:
            return torch.tensor([weights[index] for index in group]).repeat_interleave(lengths).to(device)

        logprobs = self._score(rows, entropy=False).logprobs
        if not real:
            self._engine.backward(logprobs.sum() * 0.0)
            return
        check_finite(logprobs, rows, "log-prob of the policy")
        old, kept = flat([row.old_logprobs for row in rows]), flat([plan.kept[index] for index in group])
        selected = None if plan.selected is None else flat([plan.selected[index] for index in group])
        advantages = flat([plan.advantages[index] for index in group])
        losses, figures = self._objective.policy_loss(logprobs, old, advantages, selected, settings.objective)
        loss = (torch.where(kept, losses, 0.0) * each(plan.weights)).sum()
        if plan.kl_weights:
            reference = flat([row.reference for row in rows if row.reference is not None])
            divergence = torch.where(kept, kl_estimate(logprobs, reference, settings.kl.estimator), 0.0)
            loss = loss + settings.kl.coef * (divergence * each(plan.kl_weights)).sum()
            sums["kl"] += float(divergence.detach().sum())
        self._engine.backward(loss)
        logprobs = logprobs.detach()
        check_finite(loss.detach().reshape(1), rows, "loss")
        apart = (logprobs - flat([row.sampler_logprobs for row in rows])).abs()
        sums["loss"] += float(loss.detach())
        sums["tokens"] += len(logprobs)
        sums["kept"] += float(kept.sum())
        sums["ratio"] += float(torch.where(kept, (logprobs - old).clamp(-20.0, 20.0).exp(), 0.0).sum())
        sums["update_kl"] += float(kl_estimate(old, logprobs, "k3").sum())
        sums["mismatch"] += float(apart.sum())
        sums["mismatch_max"] = max(sums["mismatch_max"], float(apart.max()))
        for name, values in figures.items():
            sums[name] += float(torch.where(kept, values, 0.0).sum())


def even_cuts(count: int, parts: int) -> list[int]:
    """The edges of at most `parts` parts of `count` things, none empty, whose sizes differ by one at most."""
    return sorted({count * number // parts for number in range(parts + 1)})


def _sequences(rows: Sequence[Row]) -> list[range]:
    """The rows of each sequence: neighbours of one response, else a row alone."""
    ends = [index for index, (one, other) in enumerate(pairwise(rows), 1) if one.sequence is None or one.sequence != other.sequence]
    return [range(start, end) for start, end in pairwise([0, *ends, len(rows)])] if rows else []


def _blocks(rows: Sequence[Row], size: int) -> list[tuple[list[range], slice]]:
    """Sequences in consecutive blocks of `size` (0: one block): their rows, and the slice of their tokens in flat tensors."""
    sequences = _sequences(rows)
    size = size or max(1, len(sequences))
    found, token = [], 0
    for start in range(0, len(sequences), size):
        members = sequences[start : start + size]
        end = token + sum(len(rows[index].ids) for each in members for index in each)
        found.append((members, slice(token, end)))
        token = end
    return found


def _whiten_rollout(rows: list[Row], settings: PolicyParams) -> None:
    if not rows:
        return
    flat = torch.cat([row.advantages for row in rows])
    white = whiten(flat, torch.ones_like(flat, dtype=torch.bool), settings.whitening.how, settings.whitening.epsilon)
    for row, part in zip(rows, white.split([len(row.ids) for row in rows]), strict=True):
        row.advantages = part


def _number(*parts: int) -> int:
    value = 0
    for part in parts:
        value = (value * 1_000_003 + part + 1) % (1 << 63)
    return value
