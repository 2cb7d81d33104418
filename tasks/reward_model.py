"""The `reward_model@<run>` stage: a model that scores answers, trained on pairs: Bradley-Terry, or a cost
model from pairs with safety labels, above 0 where an answer is harmful (dpo_vs_ppo.md 3.1, 3.4).
"""

from __future__ import annotations

from pipelines.corpora.records.rows_kept import rows_kept
from pipelines.models import policy, score_head
from pipelines.training.best import BestWeights
from pipelines.training.checkpoints import CheckpointParts
from pipelines.training.preference_data import total_steps
from pipelines.training.ranking import STRIDE, RankData, train_ranking
from tasks.pair_files import read_side
from tasks.run_params import RankingRun
from tasks.stage import Stage
from tasks.training_run import TrainingRun

# which answer of a pair is to score higher
RANKED = {"bradley_terry": RankData.rewards, "cost": RankData.costs}


def run(stage: Stage) -> None:
    """Write models/<run>/model, curves/<run>.jsonl and metrics/train/<run>.json."""
    settings, training = stage.settings(RankingRun), TrainingRun(stage, stage.item)
    ranked = RANKED[settings.kind]
    start, tokens = policy.load(
        stage.input(f"models/{settings.start}/model"), trust_remote_code=stage.execution.trust_remote_code
    )
    training_pairs, held_out = (
        read_side(stage, settings.data, "train", start, tokens, settings.max_tokens),
        read_side(stage, settings.data, "validation", start, tokens, settings.max_tokens),
    )
    assert training_pairs is not None  # an empty training side was refused
    data, validation = (
        ranked(training_pairs, settings.weights),
        None if held_out is None else ranked(held_out, settings.weights),
    )
    members = [score_head.make(start, stage.seed + member * STRIDE) for member in range(settings.members)]
    engines = training.engines(members, settings.optimiser, settings.adapter, score_head.add_adapters)
    best, total = BestWeights(training.ranks), total_steps(settings, len(data))
    left_out = len(training_pairs.too_long)
    stage.say(
        f"{len(data)} pairs ({left_out} too long), {total} steps of {settings.batch_size}, {len(members)} "
        f"member(s)"
    )
    parts = {f"member_{index}": engine for index, engine in enumerate(engines)}
    session = training.session(CheckpointParts(training.ranks, best=best, **parts), total)
    budget = stage.execution.micro_batch_tokens
    train_ranking(
        engines, session, data, validation, settings, best, stage, stage.seed, budget, training.ranks
    )
    folder = stage.out(f"models/{stage.item}/model")
    for index, engine in enumerate(engines):
        with engine.gathered() as gathered:
            if training.ranks.is_first:
                if settings.keep == "best":
                    best.restore(gathered, index)
                score_head.save(
                    gathered,
                    tokens,
                    folder if len(engines) == 1 else folder / score_head.MEMBER.format(index),
                )
    if training.ranks.is_first:
        rows = rows_kept(len(data) + sum(training_pairs.lost.values()), training_pairs.lost, "pairs")
        head = {
            "rows": rows,
            "kind": settings.kind,
            "steps": total,
            "pairs": len(data),
            "too_long": left_out,
            "start": settings.start,
            "data": settings.data,
        }
        kept_step = (
            {"kept_step": best.step, "best_validation_accuracy": best.score}
            if settings.keep == "best"
            else {"kept_step": total}
        )
        training.write_figures(head | {"members": len(members)} | kept_step, ("loss", "accuracy", "margin"))
    training.ranks.leave()
