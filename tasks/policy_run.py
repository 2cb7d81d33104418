"""A policy trained by the policy loop, whatever its reward: what the stages `rl@<method>` and `ppo_rm@<run>` share."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Mapping
from typing import Any, TypeVar

import torch

from pipelines.corpora.record import read_records
from pipelines.models import adapters, critic, policy
from pipelines.models.packing import can_share
from pipelines.models.placement import Placement
from pipelines.models.policy import context_size
from pipelines.rewards.judge import Judge
from pipelines.settings import laid_over
from pipelines.training.checkpoints import Checkpoints, Parts
from pipelines.training.engine import Engine
from pipelines.training.engines import make_engine
from pipelines.training.memory import Plan, Shape, available, check_fits, predict
from pipelines.training.micro_batches import MicroBatches
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

PROMPT_TOKENS = 512  # that the memory prediction assumes where the model's context is longer


Record = TypeVar("Record", bound=PolicyParams)


def settings_of(stage: Stage, record: type[Record], *sections: str) -> Record:
    """The sections of params.yaml, each laid over those before it."""
    value: Mapping[str, Any] = {}
    for section in sections:
        value = laid_over(value, stage.value(section))
    return record.model_validate(value)


def train_policy(stage: Stage, settings: PolicyParams, start: str = "sft") -> None:
    """Write models/<item>/model, curves/<item>.jsonl and metrics/train/<item>.json of a stage `<kind>@<item>`.

    `start` is the model to begin from.
    """
    execution = stage.execution
    records = stage.input(f"data/{stage.value('train.corpus')}/records")
    placement = Placement.resolve(execution.device, execution.dtype, execution.threads)
    ranks = Ranks.join(placement)
    model, tokens = policy.load(stage.input(f"models/{start}/model"), trust_remote_code=execution.trust_remote_code)
    judge = make_judge(stage, settings.reward, tokens, placement)
    checker = make_checker(stage, settings, judge, tokens, placement)
    shared = ShardedJudge(judge, ranks)
    refers = settings.refers or settings.validation_every > 0
    needed = _memory(model, settings, execution, placement, refers) | _memory_of(judge)
    check_fits(needed, available(placement.device), 1 if placement.device.type == "cuda" else ranks.size)
    stage.say(f"predicted peak memory: {sum(needed.values()) / 1e9:.2f} GB")
    batches = MicroBatches(execution.micro_batch_tokens, ranks, can_share(model))
    values = _critic(model, judge, settings, placement, batches, execution)
    reference = Reference(model, placement, settings.reference.rate) if refers and not settings.adapter else None
    if settings.adapter:
        adapters.add(model, settings.adapter, stage.seed)
    engine = make_engine(model, settings.optimiser, placement, ranks, execution.zero_stage, execution.offload)
    sampler: Any = make_sampler(model, tokens, placement, execution)
    if ranks.size > 1:
        sampler = ShardedEngine(sampler, ranks)
    trainer = PolicyTrainer(
        engine,
        sampler,
        AdapterReference(engine) if refers and settings.adapter else reference,
        values,
        shared,
        shared if checker is judge else checker and ShardedJudge(checker, ranks),
        tokens,
        read_records(records / "rl.jsonl"),
        read_records(records / "validation.jsonl"),
        settings,
        stage.seed,
        batches,
        stage.work / "dump",
    )
    state = Parts(ranks, policy=engine, critic=values, reference=reference, loop=trainer)
    checkpoints = Checkpoints(stage.work / "checkpoints", execution.checkpoint_period_s, stage.say, ranks)
    gc.freeze()  # the 400 000 objects of imports and model are no garbage: looking through them takes 0.2 s every few iterations
    trainer.train(Session(state, checkpoints, stage, settings.iterations, ranks), stage)
    _publish(stage, settings, engine, tokens, ranks)
    ranks.leave()


def _critic(
    model: Any, judge: Judge, settings: PolicyParams, placement: Placement, batches: MicroBatches, execution: ExecutionParams
) -> Critic | None:
    """The value model, where the credit needs one."""
    if settings.critic is None:
        return None
    start = critic.make(model if settings.critic.init == "policy" else judge.model)
    engine = make_engine(start, settings.critic.optimiser, placement, batches.ranks, execution.zero_stage, execution.offload)
    return Critic(engine, settings.critic, batches)


def _memory(model: Any, settings: PolicyParams, execution: ExecutionParams, placement: Placement, refers: bool) -> dict[str, int]:
    """Bytes at the peak, by item, before anything of it is allocated."""
    longest = context_size(model)
    plan = Plan(
        tokens=execution.micro_batch_tokens,
        half=placement.dtype == torch.bfloat16,
        heap=placement.device.type == "cpu",
        checkpointing=settings.optimiser.gradient_checkpointing,
        optimiser=settings.optimiser.kind,
        reference=refers and not settings.adapter,
        critic=settings.critic is not None,
        sequences=execution.sample_batch,
        length=min(longest, PROMPT_TOKENS + settings.sampling.max_new_tokens),
        zero_stage=execution.zero_stage,
        ranks=execution.processes,
    )
    return predict(Shape.of(model), plan)


def _memory_of(judge: Judge) -> dict[str, int]:
    """Bytes of the judge's own weights, whole on every rank."""
    if judge.model is None:
        return {}
    return {"judge: weights": sum(weight.numel() * weight.element_size() for weight in judge.model.parameters())}


def _publish(stage: Stage, settings: PolicyParams, engine: Engine, tokens: Any, ranks: Ranks) -> None:
    method = stage.item
    with engine.whole() as whole:
        if not ranks.first:
            return
        policy.save(whole, tokens, stage.out(f"models/{method}/model"))
    shutil.copyfile(stage.curve_path, stage.out(f"curves/{method}.jsonl"))
    stage.out(f"metrics/train/{method}.json").write_text(
        json.dumps(_summary(stage) | {"method": in_words(settings)}, indent=1) + "\n", "utf-8"
    )


def _summary(stage: Stage) -> dict[str, float]:
    """Means over the last twentieth of the iterations, the tokens sampled, and the last validation."""
    rows = [json.loads(line) for line in stage.curve_path.read_text("utf-8").splitlines()]
    trained = [row for row in rows if "reward" in row]
    tail = trained[-max(1, len(trained) // 20) :]
    summary = {"iterations": len(trained), "sampled_tokens": sum(row["sampled_tokens"] for row in trained)}
    summary |= {name: sum(row[name] for row in tail) / len(tail) for name in ("reward", "accuracy", "entropy", "length", "kept_groups")}
    return summary | {name: value for name, value in rows[-1].items() if name.startswith("validation_") or name == "kl"}
