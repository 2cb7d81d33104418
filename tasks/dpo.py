"""The `dpo@<run>` stage: direct preference optimisation and its variants, from a start model on a set of
pairs (dpo_vs_ppo.md 4.1).
"""

from __future__ import annotations

from pipelines.corpora.records.rows_kept import rows_kept
from pipelines.models import policy
from pipelines.training.preference import PairsWithReference, train_pairs
from pipelines.training.preference_data import total_steps
from tasks.pair_files import with_reference
from tasks.run_params import DpoRun
from tasks.stage import Stage
from tasks.training_run import TrainingRun

MEANS = ("loss", "accuracy", "margin", "drift")


def run(stage: Stage) -> None:
    """Write models/<run>/model, curves/<run>.jsonl and metrics/train/<run>.json."""
    settings, training = stage.settings(DpoRun), TrainingRun(stage, stage.item)
    model, tokens = policy.load(
        stage.input(f"models/{settings.start}/model"), trust_remote_code=stage.execution.trust_remote_code
    )
    reference = stage.input(f"data/reference/{stage.item}")
    loaded = with_reference(stage, settings.data, "train", model, tokens, settings.max_tokens, reference)
    assert loaded is not None  # an empty training side was refused
    data, logprobs = loaded
    held_out = (
        with_reference(stage, settings.data, "validation", model, tokens, settings.max_tokens, reference)
        if settings.validation_every
        else None
    )
    (engine,) = training.engines([model], settings.optimiser, settings.adapter)
    total = total_steps(settings, len(data))
    stage.say(
        f"{len(data)} pairs ({len(data.too_long)} too long), {total} steps of {settings.batch_size}, loss "
        f"{settings.loss.kind}"
    )
    train_pairs(
        engine,
        training.session(engine, total),
        data,
        logprobs,
        PairsWithReference(*held_out) if held_out else None,
        settings,
        stage,
        stage.seed,
        stage.execution.micro_batch_tokens,
        training.ranks,
    )
    with engine.gathered() as gathered:
        if training.ranks.is_first:
            policy.save(gathered, tokens, stage.out(f"models/{stage.item}/model"))
            rows = rows_kept(len(data) + sum(data.lost.values()), data.lost, "pairs")
            head = {
                "rows": rows,
                "steps": total,
                "pairs": len(data),
                "too_long": len(data.too_long),
                "start": settings.start,
            }
            training.write_figures(head | {"loss_kind": settings.loss.kind, "data": settings.data}, MEANS)
    training.ranks.leave()
