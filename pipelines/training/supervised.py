"""Supervised fine-tuning: one loop over shuffled demonstrations, loss on response tokens (EOS included), one denominator per batch."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch

from pipelines.corpora.record import Record
from pipelines.objectives.aggregation import sequence_weights
from pipelines.training.batches import collate, cut, pick
from pipelines.training.engine import Engine
from pipelines.training.schedule import rate_factor
from pipelines.training.session import Reporter, Session
from pipelines.training.supervised_params import SupervisedParams


class Demonstrations:
    """Token ids of demonstrations; `left_out` counts those longer than `max_tokens`."""

    def __init__(self, records: Sequence[Record], max_tokens: int) -> None:
        pairs = [(record.prompt_ids, record.response_ids) for record in records if record.response_ids is not None]
        kept = [(prompt, response) for prompt, response in pairs if len(prompt) + len(response) <= max_tokens]
        if not kept:
            raise ValueError(
                f"no demonstration of at most {max_tokens} tokens among {len(records)} records ({len(pairs)} hold one at all); "
                "raise max_tokens, or set validation_every to 0 where validation problems have no demonstrations"
            )
        self.left_out = len(pairs) - len(kept)
        self.ids = [prompt + response for prompt, response in kept]
        self.prompts = [len(prompt) for prompt, _ in kept]

    def __len__(self) -> int:
        return len(self.ids)


def total_steps(settings: SupervisedParams, size: int) -> int:
    """Optimiser steps of the whole run over `size` demonstrations."""
    return settings.steps or max(1, math.ceil((settings.epochs or 0) * size / settings.batch_size))


def batch_loss(
    engine: Engine, data: Demonstrations, rows: list[int], settings: SupervisedParams, pad_id: int, budget: int, learn: bool
) -> float:
    """The mean negative log-likelihood of the demonstrations `rows`, in nats; with `learn`, its gradient is added to the engine's."""
    ids, prompts = [data.ids[row] for row in rows], [data.prompts[row] for row in rows]
    counts = [len(sequence) - prompt for sequence, prompt in zip(ids, prompts, strict=True)]
    weights = sequence_weights(counts, settings.aggregation)
    total = 0.0
    for group in cut([len(sequence) for sequence in ids], budget):
        micro = collate(group, ids, prompts, pad_id, engine.placement.device)
        with torch.set_grad_enabled(learn):
            logprobs = engine.forward(micro.input_ids, micro.response).logprobs
            repeats = torch.tensor([counts[row] for row in group])
            each = torch.tensor([weights[row] for row in group]).repeat_interleave(repeats).to(logprobs.device)
            loss = -(logprobs * each).sum()
        if learn:
            engine.backward(loss)
        total += float(loss.detach())
    return total


def train(
    engine: Engine,
    session: Session,
    data: Demonstrations,
    validation: Demonstrations | None,
    settings: SupervisedParams,
    reporter: Reporter,
    pad_id: int,
    seed: int,
    budget: int,
) -> None:
    """Run all steps that `session` has left."""
    total = total_steps(settings, len(data))
    tokens, started = 0, time.monotonic()
    with session:
        for step in session:
            rows = pick(len(data), settings.batch_size, step, seed)
            loss = batch_loss(engine, data, rows, settings, pad_id, budget, learn=True)
            factor = rate_factor(step, total, settings.schedule)
            norm = engine.step(factor)
            row = {"loss": loss, "lr": settings.optimiser.learning_rate * factor, "grad_norm": norm}
            done = step + 1
            if validation and settings.validation_every and (done % settings.validation_every == 0 or done == total):
                shown = list(range(min(len(validation), settings.validation_size)))
                row["validation_loss"] = batch_loss(engine, validation, shown, settings, pad_id, budget, learn=False)
            reporter.log(done, **row)
            tokens += sum(len(data.ids[index]) for index in rows)
            reporter.progress(done, total, loss=loss, tokens_per_s=tokens / (time.monotonic() - started))
