"""Supervised fine-tuning of one model on demonstrations, as the stages `sft` and `verifier` use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.corpora.records.rows_kept import rows_kept
from pipelines.models import policy
from pipelines.models.tokenizer import Tokens
from pipelines.training.engine import Engine
from pipelines.training.options import SupervisedParams
from pipelines.training.supervised import Demonstrations, total_steps, train
from tasks.training_run import TrainingRun


def fine_tune(
    run: TrainingRun,
    model: Any,
    data: Demonstrations,
    held_out: Demonstrations | None,
    settings: SupervisedParams,
) -> Engine:
    """Train `model`, from the newest checkpoint of the stage's work directory where there is one. Returns the
    engine that holds it.
    """
    stage = run.stage
    (engine,) = run.engines([model], settings.optimiser, settings.adapter)
    total = total_steps(settings, len(data))
    stage.say(
        f"{len(data)} demonstrations ({data.left_out} too long), {total} steps of {settings.batch_size}"
    )
    session = run.session(engine, total)
    train(
        engine,
        session,
        data,
        held_out,
        settings,
        stage,
        stage.seed,
        stage.execution.micro_batch_tokens,
        run.ranks,
    )
    return engine


def publish(
    run: TrainingRun,
    engine: Engine,
    tokens: Tokens,
    data: Demonstrations,
    settings: SupervisedParams,
    facts: Mapping[str, Any],
    lost: Mapping[str, int] | None = None,
) -> None:
    """Write model, curve and figures on the first rank, and leave the process group. `lost`: demonstrations
    that were removed before those that are too long, by reason.
    """
    with engine.gathered() as model:
        if run.ranks.is_first:
            policy.save(model, tokens, run.stage.out(f"models/{run.name}/model"))
            reasons = {**(lost or {}), "too_long": data.left_out}
            rows = rows_kept(len(data) + sum(reasons.values()), reasons, "demonstrations")
            figures = {
                "rows": rows,
                "steps": total_steps(settings, len(data)),
                "demonstrations": len(data),
                "left_out": data.left_out,
            }
            run.write_figures(figures | dict(facts))
    run.ranks.leave()
