"""Training a policy with the policy loop, whatever its reward, as the stages `rl@<run>` and
`judgements@<set>` use it.
"""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol, TypeVar

from pipelines.corpora.records.record import Record
from pipelines.models import policy
from pipelines.models.placement import Placement
from pipelines.models.tokenizer import Tokens
from pipelines.rewards.judge import Judge
from pipelines.rewards.scoring import PARTS
from pipelines.training.best import BestWeights
from pipelines.training.checkpoints import CheckpointParts, Checkpoints
from pipelines.training.engine import Engine
from pipelines.training.policy import LEARN_SOMETHING, PolicyTrainer
from pipelines.training.policy_params import PolicyParams
from pipelines.training.policy_parts import Judging, ProblemSets
from pipelines.training.ranks import Ranks
from pipelines.training.reference import ReferenceModel
from pipelines.training.session import TrainingSession
from pipelines.training.sharded_judge import ShardedJudge
from tasks.judges import make_checker, make_judge
from tasks.method_summary import in_words
from tasks.policy_memory import check_memory
from tasks.policy_parts import RunContext, make_generation, make_learner
from tasks.stage import Stage
from tasks.stage_warnings import warned

Settings = TypeVar("Settings", bound=PolicyParams)


class StatefulJudge(Judge, Protocol):
    """A judge that records its verdicts; the record is a part of the run's checkpoints."""

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


@dataclass(frozen=True)
class RunInputs:
    """The inputs of a run: the start model, the training and validation problems, the exact checker that
    their set names, and optionally `recorder`, which wraps the judge and the exact checker (None where there
    is none) in a judge that records.
    """

    start: str
    problems: Sequence[Record]
    validation: Sequence[Record]
    exact: str | None
    recorder: Callable[[Judge, Judge | None], StatefulJudge] | None = None


@dataclass(frozen=True)
class TrainedPolicy:
    """The result of a run, on every rank. `recorder`: the judge that records its verdicts; `best`: the
    weights of the best validation; each None where there is none.
    """

    engine: Engine
    tokens: Tokens
    ranks: Ranks
    judge: Judge
    checker: Judge | None
    recorder: StatefulJudge | None
    best: BestWeights | None


def optimise(stage: Stage, settings: PolicyParams, inputs: RunInputs) -> TrainedPolicy:
    """Run the policy loop, from the newest checkpoint of the stage's work directory where there is one.
    Returns on all ranks.
    """
    execution = stage.execution
    placement = Placement.resolve(execution.device, execution.dtype, execution.threads)
    run = RunContext(stage, settings, placement, Ranks.join(placement))
    model, tokens = policy.load(
        stage.input(f"models/{inputs.start}/model"), trust_remote_code=execution.trust_remote_code
    )
    judge = make_judge(stage, settings.reward, tokens, placement)
    checker = make_checker(stage, settings, judge, tokens, placement, inputs.exact)
    judging, recorder = _judging(run, judge, checker, inputs)
    problems = ProblemSets(inputs.problems, inputs.validation)
    check_memory(run, model, judge, problems)
    trainer = PolicyTrainer(
        settings=settings,
        seed=stage.seed,
        learner=make_learner(run, model, judge),
        generation=make_generation(run, model, tokens),
        judging=judging,
        problems=problems,
        dump_folder=stage.work / "dump",
        best=BestWeights(run.ranks) if settings.keep == "best" else None,
        show=stage.show_samples,
    )
    # the 400 000 objects of imports and model are no garbage: looking through them takes 0.2 s every few
    # iterations
    gc.freeze()
    trainer.train(_session(run, trainer, recorder), stage)
    return TrainedPolicy(trainer.learner.engine, tokens, run.ranks, judge, checker, recorder, trainer.best)


def _judging(
    run: RunContext, judge: Judge, checker: Judge | None, inputs: RunInputs
) -> tuple[Judging, StatefulJudge | None]:
    """Returns the judges, sharded over the ranks, and the recording judge where the stage wants one."""
    shared = ShardedJudge(judge, run.ranks)
    exact = shared if checker is judge else checker and ShardedJudge(checker, run.ranks)
    recorder = inputs.recorder(shared, exact) if inputs.recorder else None
    return Judging(recorder or shared, exact), recorder


def _session(run: RunContext, trainer: PolicyTrainer, recorder: StatefulJudge | None) -> TrainingSession:
    """Returns the session with the run's checkpoints, which hold every part that changes."""
    learner, execution = trainer.learner, run.execution
    state = CheckpointParts(
        run.ranks,
        policy=learner.engine,
        critic=learner.critic,
        reference=learner.reference if isinstance(learner.reference, ReferenceModel) else None,
        loop=trainer,
        judge=recorder,
        best=trainer.best,
    )
    checkpoints = Checkpoints(
        run.stage.work / "checkpoints",
        execution.checkpoint_period_s,
        run.stage.say,
        run.ranks,
        {"zero_stage": execution.zero_stage},
    )
    return TrainingSession(state, checkpoints, run.stage, run.settings.iterations, run.ranks)


def publish(
    stage: Stage,
    settings: PolicyParams,
    trained: TrainedPolicy,
    name: str,
    facts: Mapping[str, Any],
    warnings: Sequence[str] = (),
) -> None:
    """Write the stage's outputs on the first rank, with `facts` and `warnings` among the metrics, and leave
    the process group.
    """
    with trained.engine.gathered() as model:
        if trained.ranks.is_first:
            if trained.best is not None:
                trained.best.restore(model)
            policy.save(model, trained.tokens, stage.out(f"models/{name}/model"))
            shutil.copyfile(stage.curve_path, stage.out(f"curves/{name}.jsonl"))
            best = (
                {"kept_step": trained.best.step, "best_validation": trained.best.score}
                if trained.best is not None
                else {}
            )
            figures = summary(stage) | best | {"method": in_words(settings)} | dict(facts)
            figures |= warned(stage, [*warnings, *without_update(curve(stage), settings)])
            stage.out(f"metrics/train/{name}.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    trained.ranks.leave()


def curve(stage: Stage) -> list[dict[str, Any]]:
    """Returns the rows of the stage's curve, which the first rank has."""
    return [json.loads(line) for line in stage.curve_path.read_text("utf-8").splitlines()]


def updates_made(rows: Sequence[Mapping[str, Any]]) -> int:
    """Returns the optimiser steps of the policy that a curve counts."""
    return sum(row.get("updates", 0) for row in rows)


def without_update(rows: Sequence[Mapping[str, Any]], settings: PolicyParams) -> list[str]:
    """Returns the warning that a run ended without an update, from its curve; nothing where it made one.
    A short run and a study may end so, and the model that it writes is the one that it started from.
    """
    iterations = [row for row in rows if "reward" in row]
    if updates_made(iterations):
        return []
    skipped = sum(row.get("skipped_updates", 0) for row in iterations)
    empty = sum(bool(row.get("empty")) for row in iterations)
    if skipped:
        cause = f"{skipped} were skipped, their mean ratio above max_mean_ratio {settings.max_mean_ratio:g}"
        remedy = "lower the learning rate, or raise max_mean_ratio"
    elif not empty and settings.critic is not None and len(iterations) <= settings.critic.warmup:
        cause = f"critic.warmup {settings.critic.warmup} covers them all"
        remedy = "raise token_budget, or lower critic.warmup"
    else:
        cause = (
            "no response had an advantage: all responses to each prompt had the same reward, or were filtered"
        )
        remedy = LEARN_SOMETHING
    return [
        f"no optimiser update in {len(iterations)} iterations, so the model is the one that it started from; "
        f"{cause}. The way out: {remedy}"
    ]


def summary(stage: Stage) -> dict[str, float]:
    """Returns means over the last twentieth of the iterations, those of a reward's parts among them, the
    numbers of updates, of sampled tokens and of verdicts that were errors, and the last validation.
    """
    rows = curve(stage)
    trained = [row for row in rows if "reward" in row]
    tail = trained[-max(1, len(trained) // 20) :]
    summary = {
        "iterations": len(trained),
        "updates": updates_made(trained),
        **{name: sum(row[name] for row in trained) for name in ("sampled_tokens", "errors")},
    }
    summary |= {
        name: sum(row[name] for row in tail) / len(tail)
        for name in ("reward", "accuracy", "entropy", "length", "kept_groups")
    }
    parts = sorted({name for row in tail for name in row if name.startswith(PARTS)})
    summary |= {name: fmean(row[name] for row in tail if name in row) for name in parts}
    return summary | {
        name: value for name, value in rows[-1].items() if name.startswith("validation_") or name == "kl"
    }
