"""Supervised fine-tuning of one model on demonstrations: what the stages `sft` and `sft_safe@<run>` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.corpora.record import Record
from pipelines.models import policy
from pipelines.training.supervised import Demonstrations, total_steps, train
from pipelines.training.supervised_params import SupervisedParams
from tasks.stage import Stage
from tasks.training_run import TrainingRun


def fine_tune(
    stage: Stage,
    name: str,
    start: str,
    records: Sequence[Record],
    validation: Sequence[Record] | None,
    settings: SupervisedParams,
    facts: Mapping[str, Any],
) -> None:
    """Train the model folder `start` on `records`; write models/<name>/model, its curve, and its figures with `facts` among them."""
    run = TrainingRun(stage, name)
    model, tokens = policy.load(stage.input(start), trust_remote_code=stage.execution.trust_remote_code)
    data = Demonstrations(records, settings.max_tokens)
    held_out = Demonstrations(validation, settings.max_tokens) if settings.validation_every and validation is not None else None
    (engine,) = run.engines([model], settings.optimiser, settings.adapter)
    total = total_steps(settings, len(data))
    stage.say(f"{len(data)} demonstrations ({data.left_out} too long), {total} steps of {settings.batch_size}")
    session = run.session(engine, total)
    train(engine, session, data, held_out, settings, stage, stage.seed, stage.execution.micro_batch_tokens, run.ranks)
    with engine.whole() as whole:
        if run.ranks.first:
            policy.save(whole, tokens, stage.out(f"models/{name}/model"))
            run.write_figures({"steps": total, "demonstrations": len(data), "left_out": data.left_out} | dict(facts))
    run.ranks.leave()
