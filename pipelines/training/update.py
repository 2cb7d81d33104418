"""The policy update: rows in optimiser batches, batches in micro-batches, one denominator for each batch however it is cut."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from pipelines.credit.whitening import whiten
from pipelines.models.logprobs import TokenScores
from pipelines.objectives.aggregation import sequence_weights
from pipelines.objectives.divergence import kl_estimate
from pipelines.seams import load
from pipelines.training.batches import collate, cut, shuffled
from pipelines.training.collection import Row
from pipelines.training.engine import Engine
from pipelines.training.policy_params import PolicyParams

Forward = Callable[[Tensor, Tensor, float], TokenScores]


@dataclass(frozen=True)
class _Plan:
    """An optimiser batch before it is cut; per row and per token, everything that the whole batch decides."""

    rows: list[Row]
    kept: list[Tensor]
    advantages: list[Tensor]
    weights: list[float]
    kl_weights: list[float]

    def flat(self, part: list[Tensor], group: list[int], device: torch.device) -> Tensor:
        return torch.cat([part[index] for index in group]).to(device)


class Updater:
    """Applies the configured mask and objective to rows. `budget` is the tokens of a micro-batch and changes no result."""

    def __init__(self, engine: Engine, settings: PolicyParams, pad_id: int, seed: int, budget: int) -> None:
        self._engine, self._settings, self._pad, self._seed, self._budget = engine, settings, pad_id, seed, budget
        self._mask: ModuleType = load("pipelines.objectives.masks", settings.mask)
        self._objective: ModuleType = load("pipelines.objectives", settings.objective)

    def logprobs(self, forward: Forward, rows: Sequence[Row]) -> list[Tensor]:
        """Log-probs of each row's segment, without gradient, in the order of `rows`, on the CPU."""
        found: list[Tensor] = [torch.zeros(0)] * len(rows)
        ids, prompts = [row.ids for row in rows], [row.prompt for row in rows]
        for group in cut([len(sequence) for sequence in ids], self._budget):
            micro = collate(group, ids, prompts, self._pad, self._engine.placement.device)
            with torch.no_grad():
                scores = forward(micro.input_ids, micro.response, self._settings.sampling.temperature).logprobs.cpu()
            for index, part in zip(group, scores.split([len(rows[index].advantages) for index in group]), strict=True):
                found[index] = part
        return found

    def update(self, rows: list[Row], iteration: int, factor: float) -> dict[str, float]:
        """All epochs and updates of one iteration; returns means over its updates. No rows: nothing happens."""
        settings, figures, norms = self._settings, defaultdict(float), []
        tokens = 0
        for epoch in range(settings.epochs):
            order = shuffled(len(rows), self._seed, iteration, epoch)
            size = max(1, math.ceil(len(rows) / settings.updates_per_epoch))
            for start in range(0, len(order), size):
                batch = [rows[index] for index in order[start : start + size]]
                sums = self.batch(batch)
                norms.append(self._engine.step(factor))
                if epoch == start == 0:  # the weights are still those that sampled
                    figures["mismatch"] = sums.pop("mismatch") / sums["tokens"]
                tokens += int(sums.pop("tokens"))
                for name, value in sums.items():
                    if name != "mismatch":
                        figures[name] += value
        if not norms:
            return {"updates": 0}
        return {
            "grad_norm": sum(norms) / len(norms),
            "updates": len(norms),
            "mismatch": figures.pop("mismatch"),
            "loss": figures.pop("loss") / len(norms),
            **{name: value / max(1, tokens) for name, value in figures.items()},
        }

    def batch(self, rows: list[Row]) -> dict[str, float]:
        """Add the gradient of one optimiser batch to the engine; returns its loss, and sums over its tokens."""
        plan = self._plan(rows)
        with_kl = self._settings.kl_coef > 0
        needed = [index for index in range(len(rows)) if with_kl or bool(plan.advantages[index].any())]
        sums: dict[str, float] = defaultdict(float)
        for group in cut([len(rows[index].ids) for index in needed], self._budget):
            self._micro_batch(plan, [needed[index] for index in group], sums)
        return sums

    def _plan(self, rows: list[Row]) -> _Plan:
        settings, lengths = self._settings, [len(row.advantages) for row in rows]
        kept = self._mask.keep(torch.cat([row.old_logprobs for row in rows]), torch.cat([row.entropy for row in rows]))
        advantages = torch.cat([row.advantages for row in rows])
        if settings.whiten:
            advantages = whiten(advantages, kept)
        advantages = torch.where(kept, advantages, 0.0)
        split = list(kept.split(lengths))
        counts = [int(part.sum()) for part in split]
        return _Plan(
            rows,
            split,
            list(advantages.split(lengths)),
            sequence_weights(counts, settings.aggregation),
            sequence_weights(counts, settings.kl_aggregation),
        )

    def _micro_batch(self, plan: _Plan, group: list[int], sums: dict[str, float]) -> None:
        settings, device, rows = self._settings, self._engine.placement.device, plan.rows
        micro = collate(group, [row.ids for row in rows], [row.prompt for row in rows], self._pad, device)
        logprobs = self._engine.forward(micro.input_ids, micro.response, settings.sampling.temperature).logprobs
        old = plan.flat([row.old_logprobs for row in rows], group, device)
        kept = plan.flat(plan.kept, group, device)
        losses, figures = self._objective.policy_loss(logprobs, old, plan.flat(plan.advantages, group, device), settings)
        repeats = torch.tensor([len(rows[index].advantages) for index in group])
        each = torch.tensor([plan.weights[index] for index in group]).repeat_interleave(repeats).to(device)
        loss = (torch.where(kept, losses, 0.0) * each).sum()
        if settings.kl_coef:
            reference = plan.flat([row.reference for row in rows if row.reference is not None], group, device)
            divergence = torch.where(kept, kl_estimate(logprobs, reference, settings.kl_estimator), 0.0)
            each = torch.tensor([plan.kl_weights[index] for index in group]).repeat_interleave(repeats).to(device)
            loss = loss + settings.kl_coef * (divergence * each).sum()
            sums["kl"] += float(divergence.detach().sum())
        self._engine.backward(loss)
        logprobs = logprobs.detach()
        sums["loss"] += float(loss.detach())
        sums["tokens"] += len(logprobs)
        sums["update_kl"] += float(kl_estimate(old, logprobs, "k3").sum())
        sums["mismatch"] += float((logprobs - plan.flat([row.sampler_logprobs for row in rows], group, device)).abs().sum())
        for name, values in figures.items():
            sums[name] += float(torch.where(kept, values, 0.0).sum())
