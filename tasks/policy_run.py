"""A policy trained by the policy loop, whatever its reward: what the stages `rl@<run>` and `judgements@<set>`
share.
"""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from pipelines.corpora.record import Record
from pipelines.models import adapters, critic, policy
from pipelines.models.free_memory import SLACK, available
from pipelines.models.liger import use_liger
from pipelines.models.packing import can_share
from pipelines.models.placement import Placement
from pipelines.models.policy import context_size
from pipelines.models.tokenizer import Tokens
from pipelines.rewards.judge import Judge
from pipelines.rollouts.flight import BATCH, Request, RolloutMemory, token_bytes
from pipelines.rollouts.fused import fusible, own_bytes, refresh_bytes
from pipelines.settings import laid_over
from pipelines.training.best import BestWeights
from pipelines.training.checkpoints import CheckpointParts, Checkpoints
from pipelines.training.engine import Engine
from pipelines.training.engines import make_engine
from pipelines.training.memory import FLOAT32_BYTES, MemoryPlan, ModelShape, check_fits, meta_copy, predict
from pipelines.training.micro_batches import MicroBatcher
from pipelines.training.policy import PolicyTrainer
from pipelines.training.policy_params import PolicyParams
from pipelines.training.ranks import Ranks
from pipelines.training.reference import AdapterReference, Reference
from pipelines.training.session import Session
from pipelines.training.sharded_judge import ShardedJudge
from pipelines.training.sharded_rollouts import ShardedEngine
from pipelines.training.value_learning import Critic
from tasks.execution_params import ExecutionParams
from tasks.judges import make_checker, make_judge
from tasks.method_summary import in_words
from tasks.sampler import make_sampler
from tasks.stage import Stage

Settings = TypeVar("Settings", bound=PolicyParams)


class KeepingJudge(Judge, Protocol):
    """A judge with a memory, which is a part of the run's checkpoints."""

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


@dataclass(frozen=True)
class Course:
    """What a run begins from and learns on: the model `start`, the problems, those that validate, and, where
    the stage keeps what was judged, `keep`: the judge and the exact checker (None where there is none) -> one
    that keeps.
    """

    start: str
    problems: Sequence[Record]
    validation: Sequence[Record]
    keep: Callable[[Judge, Judge | None], KeepingJudge] | None = None


@dataclass(frozen=True)
class Trained:
    """What is left when a run is through, on every rank; `kept` is the judge with a memory, and `best` the
    weights of the best validation, each where there was one.
    """

    engine: Engine
    tokens: Tokens
    ranks: Ranks
    judge: Judge
    checker: Judge | None
    kept: KeepingJudge | None
    best: BestWeights | None


def settings_of(stage: Stage, record: type[Settings], *sections: str) -> Settings:
    """The sections of params.yaml, each laid over those before it."""
    value: Mapping[str, Any] = {}
    for section in sections:
        value = laid_over(value, stage.value(section))
    return record.model_validate(value)


def optimise(stage: Stage, settings: PolicyParams, course: Course) -> Trained:
    """Run the policy loop, from the newest checkpoint of the stage's work directory where there is one. All
    ranks come back.
    """
    execution = stage.execution
    placement = Placement.resolve(execution.device, execution.dtype, execution.threads)
    ranks = Ranks.join(placement)
    model, tokens = policy.load(
        stage.input(f"models/{course.start}/model"), trust_remote_code=execution.trust_remote_code
    )
    judge = make_judge(stage, settings.reward, tokens, placement)
    checker = make_checker(stage, settings, judge, tokens, placement)
    shared = ShardedJudge(judge, ranks)
    exact = shared if checker is judge else checker and ShardedJudge(checker, ranks)
    kept = course.keep(shared, exact) if course.keep else None
    needs_reference = settings.needs_reference or settings.validation_every > 0
    asked = _requests(model, settings, course, ranks.size)
    free, shared_by = available(placement.device), 1 if placement.device.type == "cuda" else ranks.size
    needed = _needed(model, judge, settings, execution, placement, asked, free // shared_by)
    check_fits(needed, free, shared_by)
    stage.say(f"predicted peak memory: {sum(needed.values()) / 1e9:.2f} GB")
    batches = MicroBatcher(execution.micro_batch_tokens, ranks, can_share(model))
    values = _critic(model, judge, settings, placement, batches, execution)
    reference = (
        Reference(model, placement, settings.reference.rate)
        if needs_reference and not settings.adapter
        else None
    )
    if settings.adapter:
        adapters.add(model, settings.adapter, stage.seed)
    if execution.liger:
        use_liger(model, placement)
    engine = make_engine(model, settings.optimiser, placement, ranks, execution.zero_stage, execution.offload)
    sampler: Any = make_sampler(model, tokens, placement, execution)
    if ranks.size > 1:
        sampler = ShardedEngine(sampler, ranks)
    best = BestWeights(ranks) if settings.keep == "best" else None
    trainer = PolicyTrainer(
        engine,
        sampler,
        AdapterReference(engine) if needs_reference and settings.adapter else reference,
        values,
        kept or shared,
        exact,
        tokens,
        course.problems,
        course.validation,
        settings,
        stage.seed,
        batches,
        stage.work / "dump",
        best,
    )
    state = CheckpointParts(
        ranks, policy=engine, critic=values, reference=reference, loop=trainer, judge=kept, best=best
    )
    division = {"zero_stage": execution.zero_stage}
    checkpoints = Checkpoints(
        stage.work / "checkpoints", execution.checkpoint_period_s, stage.say, ranks, division
    )
    # the 400 000 objects of imports and model are no garbage: looking through them takes 0.2 s every few
    # iterations
    gc.freeze()
    trainer.train(Session(state, checkpoints, stage, settings.iterations, ranks), stage)
    return Trained(engine, tokens, ranks, judge, checker, kept, best)


def _critic(
    model: Any,
    judge: Judge,
    settings: PolicyParams,
    placement: Placement,
    batches: MicroBatcher,
    execution: ExecutionParams,
) -> Critic | None:
    """The value model, where the credit needs one."""
    if settings.critic is None:
        return None
    start = critic.make(model if settings.critic.init == "policy" else judge.model)
    engine = make_engine(
        start, settings.critic.optimiser, placement, batches.ranks, execution.zero_stage, execution.offload
    )
    return Critic(engine, settings.critic, batches)


def _requests(model: Any, settings: PolicyParams, course: Course, ranks: int) -> list[Request]:
    """What the run asks its sampler for at once: an iteration's or a refill's prompts, and the problems that
    validate; of one rank.
    """
    context, new = context_size(model), settings.sampling.max_new_tokens
    prompts = max(settings.prompts, settings.refill.prompts if settings.refill else 0)
    rounds = [(course.problems, prompts, settings.most_sequences)]
    if settings.validation_every:
        rounds.append((course.validation, settings.validation_size, 1))
    found = []
    for problems, count, each in rounds:
        lengths = [length for record in problems if (length := len(record.prompt_ids)) < context]
        count = -(-min(count, len(problems)) // ranks)
        found.append(Request(count * each, count, max(lengths, default=1), min(new, context)))
    return found


def _needed(
    model: Any,
    judge: Judge,
    settings: PolicyParams,
    execution: ExecutionParams,
    placement: Placement,
    asked: Sequence[Request],
    free: int,
) -> dict[str, int]:
    """Bytes at the peak, by item, before anything of it is allocated: adapters and critic are put on copies
    without weights.

    Where execution.sample_batch is auto, the caches are the largest that fit into `free` bytes beside the
    rest, as the engine will choose.
    """
    needs_reference, trained, values = (
        settings.needs_reference or settings.validation_every > 0,
        meta_copy(model),
        None,
    )
    with torch.device("meta"):
        if settings.critic is not None:
            values = critic.make(
                meta_copy(model if settings.critic.init == "policy" else judge.model)
            ).backbone
        if settings.adapter:
            adapters.add(trained, settings.adapter, 0)
    shape, copies, refreshed = ModelShape.of(trained), 0, 0
    with adapters.switched_off(trained):  # as they are while the run samples
        lean = fusible(trained)
        if execution.sampler == "vllm":
            copies = placement.dtype.itemsize * shape.parameters
        elif lean:
            copies = own_bytes(trained, placement.dtype, placement.device)
            refreshed = refresh_bytes(trained, placement.dtype, placement.device)
    plan = MemoryPlan(
        tokens=execution.micro_batch_tokens,
        half=placement.dtype == torch.bfloat16,
        heap=placement.device.type == "cpu",
        checkpointing=settings.optimiser.gradient_checkpointing,
        optimiser=settings.optimiser.kind,
        reference=needs_reference and not settings.adapter,
        critic=None if values is None else ModelShape.of(values),
        critic_optimiser=settings.critic.optimiser.kind if settings.critic else "adamw",
        copies=copies,
        refreshed=refreshed,
        zero_stage=execution.zero_stage,
        ranks=execution.processes,
    )
    beside = _memory_of(judge)
    if settings.keep == "best" and placement.device.type == "cpu":
        beside["weights of the best validation"] = FLOAT32_BYTES * sum(
            weight.numel() for weight in model.parameters()
        )
    room = RolloutMemory(
        placement.device, torch.get_num_threads(), lean, token_bytes(model.config, placement.dtype)
    )
    batch = execution.sequences or BATCH
    while True:
        cached = max(room.cache_bytes(request, batch) for request in asked) // room.token_bytes
        flying = max(min(request.rows, batch) for request in asked)
        needed = predict(shape, replace(plan, cached=cached, sequences=flying)) | beside
        if execution.sequences or batch == 1 or sum(needed.values()) <= free * (1 - SLACK):
            return needed
        batch //= 2


def _memory_of(judge: Judge) -> dict[str, int]:
    """Bytes of the judge's own weights, whole on every rank."""
    if judge.model is None:
        return {}
    return {
        "judge: weights": sum(weight.numel() * weight.element_size() for weight in judge.model.parameters())
    }


def publish(stage: Stage, settings: PolicyParams, trained: Trained, name: str) -> None:
    """Write the stage's outputs on the first rank, and leave the others."""
    with trained.engine.gathered() as whole:
        if trained.ranks.is_first:
            if trained.best is not None:
                trained.best.restore(whole)
            policy.save(whole, trained.tokens, stage.out(f"models/{name}/model"))
            shutil.copyfile(stage.curve_path, stage.out(f"curves/{name}.jsonl"))
            kept = (
                {"kept_step": trained.best.step, "best_validation": trained.best.score}
                if trained.best is not None
                else {}
            )
            figures = summary(stage) | kept | {"method": in_words(settings)}
            stage.out(f"metrics/train/{name}.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    trained.ranks.leave()


def summary(stage: Stage) -> dict[str, float]:
    """Means over the last twentieth of the iterations, the tokens sampled, and the last validation."""
    rows = [json.loads(line) for line in stage.curve_path.read_text("utf-8").splitlines()]
    trained = [row for row in rows if "reward" in row]
    tail = trained[-max(1, len(trained) // 20) :]
    summary = {"iterations": len(trained), "sampled_tokens": sum(row["sampled_tokens"] for row in trained)}
    summary |= {
        name: sum(row[name] for row in tail) / len(tail)
        for name in ("reward", "accuracy", "entropy", "length", "kept_groups")
    }
    return summary | {
        name: value for name, value in rows[-1].items() if name.startswith("validation_") or name == "kl"
    }
