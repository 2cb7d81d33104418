"""The `dpo_iter@<k>` stage: round k of iterative DPO (dpo_vs_ppo.md 4.2).

Samples of the model before it are judged and paired; that model is the reference, and training starts from it
with a fresh optimiser. Old pairs are not mixed in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.corpora.pair import read_pairs, write_pairs
from pipelines.corpora.pairing import Judged
from pipelines.corpora.record import read_records
from pipelines.evaluation.answers import evenly_spaced
from pipelines.models import policy
from pipelines.models.policy import context_size
from pipelines.models.tokenizer import Tokens
from pipelines.settings import laid_over
from pipelines.training.preference import train_pairs
from pipelines.training.preference_data import PairData, total_steps
from pipelines.training.preference_rounds import figures, round_pairs, sample_and_judge
from pipelines.training.reference_logprobs import reference_logprobs, save_reference
from pipelines.training.sharded_judge import ShardedJudge
from pipelines.training.sharded_rollouts import ShardedEngine
from tasks.dpo_iter_params import RoundRun
from tasks.judges import make_judge
from tasks.sampler import make_sampler
from tasks.stage import Stage
from tasks.training_run import TrainingRun

# iterations of the counter keys lie below it: no other sampling of the same prompts has these numbers
ROUNDS = -1000
PORTION = 512  # prompts between two progress lines
MEANS = ("loss", "accuracy", "margin", "drift")


def run(stage: Stage) -> None:
    """Write models/dpo_iter_<k>/model, its curve and figures, and data/dpo_iter/<k>/{samples,pairs}.jsonl and
    reference.safetensors.
    """
    number = stage.item
    settings = RoundRun.model_validate(
        laid_over(stage.value("dpo_iter.common"), stage.value(f"dpo_iter.rounds.{number}"))
    )
    training, folder = TrainingRun(stage, f"dpo_iter_{number}"), stage.out(f"data/dpo_iter/{number}")
    model, tokens = policy.load(
        stage.input(f"models/{settings.start}/model"), trust_remote_code=stage.execution.trust_remote_code
    )
    model.to(training.placement.device)
    facts = _sampled(stage, settings, training, model, tokens, folder)
    data = PairData(
        read_pairs(folder / "pairs.jsonl"),
        min(settings.max_tokens, context_size(model)),
        f"the pairs of round {number}",
    )
    ranks = training.ranks
    logprobs = reference_logprobs(model, data, training.placement, stage.execution.micro_batch_tokens, ranks)
    if ranks.is_first:
        save_reference(folder / "reference.safetensors", logprobs, data)
    (engine,) = training.engines([model], settings.optimiser, settings.adapter)
    total = total_steps(settings, len(data))
    stage.say(f"{len(data)} pairs, {total} steps of {settings.batch_size}, loss {settings.loss.kind}")
    session = training.session(engine, total)
    train_pairs(
        engine,
        session,
        data,
        logprobs,
        None,
        settings,
        stage,
        stage.seed,
        stage.execution.micro_batch_tokens,
        ranks,
    )
    with engine.gathered() as whole:
        if ranks.is_first:
            policy.save(whole, tokens, stage.out(f"models/dpo_iter_{number}/model"))
            head = {
                "round": int(number),
                "start": settings.start,
                "steps": total,
                "pairs": len(data),
                "loss_kind": settings.loss.kind,
            }
            training.write_figures(head | dict(facts), MEANS)
    ranks.leave()


def _sampled(
    stage: Stage, settings: RoundRun, training: TrainingRun, model: Any, tokens: Tokens, folder: Path
) -> Mapping[str, Any]:
    """Sample, judge and pair, unless an interrupted run of the same round has; returns its figures and
    counts, on every rank.

    ValueError with the counts where no pair comes of it.
    """
    facts, ranks = folder / "round.json", training.ranks
    if ranks.broadcast_from_first(facts.exists()):
        stage.say("the samples of this round are there already")
        return json.loads(facts.read_text("utf-8"))  # type: ignore[no-any-return]
    folder.mkdir(parents=True, exist_ok=True)
    problems = evenly_spaced(
        read_records(stage.input(f"data/{stage.value('train.corpus')}/records") / "rl.jsonl"),
        settings.prompts,
    )
    judge = ShardedJudge(make_judge(stage, settings.judge, tokens, training.placement), ranks)
    judge.preflight(problems)
    engine = make_sampler(model, tokens, training.placement, stage.execution)
    if ranks.size > 1:
        engine = ShardedEngine(engine, ranks)
    judged = []
    for first in range(0, len(problems), PORTION):
        part = problems[first : first + PORTION]
        key = ROUNDS - int(stage.item)
        judged += sample_and_judge(
            engine,
            tokens,
            judge,
            part,
            settings.samples,
            settings.sampling,
            stage.seed,
            key,
            settings.max_error_share,
        )
        stage.progress(len(judged), len(problems), reward=figures(judged)["reward"])
    made = round_pairs(
        problems, judged, settings.pairing, stage.seed, f"round_{stage.item}", settings.max_tokens
    )
    counts = dict(sorted(made.counts.items()))
    if not made.pairs:
        raise ValueError(
            f"round {stage.item}: no pair came of the samples ({counts}); loosen dpo_iter's pairing, or "
            f"sample more"
        )
    found = {"samples": figures(judged), "pairing": counts}
    if ranks.is_first:
        with open(folder / "samples.jsonl", "w", encoding="utf-8") as stream:
            for record, own in zip(problems, judged, strict=True):
                stream.write(
                    json.dumps({"id": record.id, "samples": [_row(one) for one in own]}, ensure_ascii=False)
                    + "\n"
                )
        write_pairs(folder / "pairs.jsonl", made.pairs)
        temporary = facts.with_suffix(".tmp")
        temporary.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        os.replace(temporary, facts)
    ranks.barrier()  # the others read the pairs
    stage.say("pairing: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in counts.items()))
    return found


def _row(one: Judged) -> dict[str, Any]:
    """A response for people; the judge's errors have no score."""
    return {
        "text": one.text,
        "score": None if one.passed is None else one.score,
        "passed": one.passed,
        "finished": one.finished,
    }
