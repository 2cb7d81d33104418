"""Direct preference optimisation and its like: one loop over shuffled pairs, one denominator, the reference's
log-probs given.

dpo_vs_ppo.md 4; the loss of a pair is a module of pipelines/objectives/preference.
"""

from __future__ import annotations

import time
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from pipelines.models.packing import can_share
from pipelines.objectives.preference.log_ratio import log_ratios
from pipelines.seams import load
from pipelines.training.batches import batch_indices
from pipelines.training.engine import Engine
from pipelines.training.preference_data import PairBatches, PairData, total_steps
from pipelines.training.preference_params import PairTrainParams
from pipelines.training.ranks import Ranks
from pipelines.training.reference_logprobs import pair_logprobs
from pipelines.training.schedule import lr_factor
from pipelines.training.session import Reporter, TrainingSession

# Means over the pairs of a batch. accuracy: share with a positive margin; rewards: implicit ones, beta * log
# pi/pi_ref; margin: their difference; log-probs are summed over the answer, in nats; drift: |log pi/pi_ref|
# per token of both answers, in nats, 0 at the start.
FIGURES = (
    "loss",
    "accuracy",
    "margin",
    "chosen_logprob",
    "rejected_logprob",
    "chosen_reward",
    "rejected_reward",
    "drift",
)


class PairsWithReference(NamedTuple):
    """Pairs and the reference's log-probs of their answers, (N, 2)."""

    data: PairData
    reference: Tensor


def batch_loss(
    engine: Engine,
    pairs: PairsWithReference,
    rows: list[int],
    settings: PairTrainParams,
    batches: PairBatches,
    learn: bool,
) -> dict[str, float]:
    """FIGURES of the pairs `rows`; with `learn`, the gradient of their mean loss is added to the engine's.

    The micro-batches are divided among the ranks; one that has none left in a turn runs a pass that adds
    nothing.
    """
    objective: ModuleType = load("pipelines.objectives.preference", settings.loss.kind)
    answers = [pairs.data.pairs[row] for row in rows]
    total = torch.zeros(len(FIGURES), dtype=torch.float64)
    for group, counts in batches.micro_batches(answers):
        part = [answers[index] for index in group]
        with torch.set_grad_enabled(learn):
            logprobs = engine.apply(pair_logprobs, part)
            reference = pairs.reference[[rows[index] for index in group]].to(logprobs.device)
            losses = objective.pair_loss(*logprobs.unbind(1), *reference.unbind(1), settings.loss)
        if learn:
            engine.backward(losses.sum() / len(rows) * counts)
        if counts:
            lengths = torch.tensor([[len(pair.first), len(pair.second)] for pair in part])
            total += _sums(losses, logprobs, reference, lengths, settings.loss.beta)
    return dict(zip(FIGURES, (batches.ranks.sum(total) / len(rows)).tolist(), strict=True))


@torch.no_grad()
def _sums(losses: Tensor, logprobs: Tensor, reference: Tensor, lengths: Tensor, beta: float) -> Tensor:
    """losses (n,), logprobs, reference and lengths (n, 2) -> the sums of FIGURES over n, float64 on the
    CPU.
    """
    losses, logprobs, reference = (part.double().cpu() for part in (losses, logprobs, reference))
    ratios = torch.stack(log_ratios(*logprobs.unbind(1), *reference.unbind(1)), 1)
    rewards, drift = beta * ratios, (ratios.abs() / lengths).mean(1)
    margin = rewards[:, 0] - rewards[:, 1]
    return torch.stack(
        [
            values.sum()
            for values in (losses, share_won(margin), margin, *logprobs.unbind(1), *rewards.unbind(1), drift)
        ]
    )


def share_won(margin: Tensor) -> Tensor:
    """Returns 1 for positive margins (n,), and one half for those of 0."""
    return (margin > 0).double() + (margin == 0).double() / 2


def train_pairs(
    engine: Engine,
    session: TrainingSession,
    data: PairData,
    reference: Tensor,
    validation: PairsWithReference | None,
    settings: PairTrainParams,
    reporter: Reporter,
    seed: int,
    budget: int,
    ranks: Ranks = Ranks.single(),
) -> None:
    """Run all steps that `session` has left. `reference` (N, 2): the reference's log-probs of `data`, see
    `reference_logprobs`.
    """
    pairs, total = PairsWithReference(data, reference), total_steps(settings, len(data))
    batches = PairBatches(budget, ranks, can_share(engine.model))
    pairs_seen, started = 0, time.monotonic()
    with session:
        for step in session:
            rows = batch_indices(len(data), settings.batch_size, step, seed)
            figures = batch_loss(engine, pairs, rows, settings, batches, True)
            factor = lr_factor(step, total, settings.schedule)
            norm = engine.step(factor)
            row = figures | {"lr": settings.optimiser.learning_rate * factor, "grad_norm": norm}
            done = step + 1
            if (
                validation
                and settings.validation_every
                and (done % settings.validation_every == 0 or done == total)
            ):
                shown = list(range(min(len(validation.data), settings.validation_size)))
                held_out = batch_loss(engine, validation, shown, settings, batches, False)
                row |= {f"validation_{name}": value for name, value in held_out.items()}
            reporter.log(done, **row)
            pairs_seen += len(rows)
            reporter.progress(
                done,
                total,
                loss=figures["loss"],
                accuracy=figures["accuracy"],
                pairs_per_s=pairs_seen / (time.monotonic() - started),
            )
