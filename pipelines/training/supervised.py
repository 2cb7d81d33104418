"""Supervised fine-tuning: one loop over shuffled demonstrations, one denominator per batch. The loss is on
the assistant's tokens, what ends a turn included.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch

from pipelines.corpora.records.record import Record
from pipelines.models.packing import Segment, can_share, cut, score_rows
from pipelines.objectives.aggregation import sequence_weights
from pipelines.training.batches import batch_indices
from pipelines.training.engine import Engine
from pipelines.training.options import SupervisedParams
from pipelines.training.ranks import Ranks
from pipelines.training.schedule import lr_factor
from pipelines.training.session import Reporter, TrainingSession


class Demonstrations:
    """Token ids of demonstrations, and the places [start, stop) of each that are learnt: its response, and
    earlier turns of the assistant where the record says so. `left_out` counts those longer than `max_tokens`.
    """

    def __init__(self, records: Sequence[Record], max_tokens: int) -> None:
        demonstrations = [record for record in records if record.response_ids is not None]
        kept = [
            (record.prompt_ids, response, getattr(record, "loss_spans", ()))
            for record in demonstrations
            if (response := record.response_ids) is not None
            and len(record.prompt_ids) + len(response) <= max_tokens
        ]
        if not kept:
            raise ValueError(
                f"no demonstration of at most {max_tokens} tokens among {len(records)} records "
                f"({len(demonstrations)} hold one at all); "
                "raise max_tokens, or set validation_every to 0 where validation problems have no "
                "demonstrations"
            )
        self.left_out = len(demonstrations) - len(kept)
        self.ids = [prompt + response for prompt, response, _ in kept]
        self.spans = [
            [*((start, stop) for start, stop in earlier), (len(prompt), len(prompt) + len(response))]
            for prompt, response, earlier in kept
        ]
        # the first token of a row is predicted by nothing
        self.prompts = [max(1, spans[0][0]) for spans in self.spans]

    def __len__(self) -> int:
        return len(self.ids)

    def learnt(self, row: int) -> list[bool]:
        """Of each token behind `prompts` whether it is learnt."""
        places = range(self.prompts[row], len(self.ids[row]))
        return [any(start <= place < stop for start, stop in self.spans[row]) for place in places]


def total_steps(settings: SupervisedParams, size: int) -> int:
    """Optimiser steps of the whole run over `size` demonstrations."""
    return settings.steps or max(1, math.ceil((settings.epochs or 0) * size / settings.batch_size))


def batch_loss(
    engine: Engine,
    data: Demonstrations,
    rows: list[int],
    settings: SupervisedParams,
    budget: int,
    learn: bool,
    ranks: Ranks = Ranks.single(),
) -> float:
    """Returns the mean negative log-likelihood of the demonstrations `rows`, in nats; with `learn`, its
    gradient is added to the engine's.

    The micro-batches are divided among `ranks`; one that has none left in a turn runs a pass that adds
    nothing.
    """
    prompts = [data.prompts[row] for row in rows]
    learnt = [data.learnt(row) for row in rows]
    weights = sequence_weights([sum(places) for places in learnt], settings.aggregation)
    total = 0.0
    pairs = ((data.ids[row], prompt) for row, prompt in zip(rows, prompts, strict=True))
    demonstrations = [Segment((tuple(ids[:prompt]),), tuple(ids[prompt:])) for ids, prompt in pairs]
    groups = cut(demonstrations, budget, can_share(engine.model))
    mine = ranks.shard(groups)
    for turn in range(ranks.micro_batches_per_rank(len(groups))):
        group = mine[turn] if turn < len(mine) else groups[-1]
        with torch.set_grad_enabled(learn):
            logprobs = engine.apply(score_rows, [demonstrations[row] for row in group], 1.0, False).logprobs
            token_weights = torch.tensor(
                [weights[row] if place else 0.0 for row in group for place in learnt[row]]
            ).to(logprobs.device)
            loss = -(logprobs * token_weights).sum() * (turn < len(mine))
        if learn:
            engine.backward(loss)
        total += float(loss.detach())
    return ranks.sum(total)


def train(
    engine: Engine,
    session: TrainingSession,
    data: Demonstrations,
    validation: Demonstrations | None,
    settings: SupervisedParams,
    reporter: Reporter,
    seed: int,
    budget: int,
    ranks: Ranks = Ranks.single(),
) -> None:
    """Run all steps that `session` has left."""
    total = total_steps(settings, len(data))
    tokens, started = 0, time.monotonic()
    with session:
        for step in session:
            rows = batch_indices(len(data), settings.batch_size, step, seed)
            loss = batch_loss(engine, data, rows, settings, budget, True, ranks)
            factor = lr_factor(step, total, settings.schedule)
            norm = engine.step(factor)
            row = {"loss": loss, "lr": settings.optimiser.learning_rate * factor, "grad_norm": norm}
            done = step + 1
            if (
                validation
                and settings.validation_every
                and (done % settings.validation_every == 0 or done == total)
            ):
                shown = list(range(min(len(validation), settings.validation_size)))
                row["validation_loss"] = batch_loss(engine, validation, shown, settings, budget, False, ranks)
            reporter.log(done, **row)
            tokens += sum(len(data.ids[index]) for index in rows)
            reporter.progress(done, total, loss=loss, tokens_per_s=tokens / (time.monotonic() - started))
