"""The `sft` stage: supervised fine-tuning of the base model on the corpus's demonstrations."""

from __future__ import annotations

import json
import shutil

import torch

from pipelines.corpora.record import read_records
from pipelines.models import adapters, policy
from pipelines.models.placement import Placement
from pipelines.training.checkpoints import Checkpoints
from pipelines.training.engines import make_engine
from pipelines.training.memory import Plan, Shape, available, check_fits, predict
from pipelines.training.ranks import Ranks
from pipelines.training.session import Session
from pipelines.training.supervised import Demonstrations, total_steps, train
from pipelines.training.supervised_params import SupervisedParams
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write models/sft/model, curves/sft.jsonl and metrics/train/sft.json."""
    settings, execution = stage.section("sft", SupervisedParams), stage.execution
    records = stage.input(f"data/{stage.value('train.corpus')}/records")
    placement = Placement.resolve(execution.device, execution.dtype, execution.threads)
    ranks = Ranks.join(placement)
    model, tokens = policy.load(stage.input("models/base/model"), trust_remote_code=execution.trust_remote_code)
    data = Demonstrations(read_records(records / "sft.jsonl"), settings.max_tokens)
    validation = Demonstrations(read_records(records / "validation.jsonl"), settings.max_tokens) if settings.validation_every else None
    if settings.adapter:
        adapters.add(model, settings.adapter, stage.seed)
    needed = predict(
        Shape.of(model),
        Plan(
            tokens=execution.micro_batch_tokens,
            half=placement.dtype == torch.bfloat16,
            heap=placement.device.type == "cpu",
            checkpointing=settings.optimiser.gradient_checkpointing,
            optimiser=settings.optimiser.kind,
            zero_stage=execution.zero_stage,
            ranks=ranks.size,
        ),
    )
    check_fits(needed, available(placement.device), 1 if placement.device.type == "cuda" else ranks.size)
    engine = make_engine(model, settings.optimiser, placement, ranks, execution.zero_stage, execution.offload)
    checkpoints = Checkpoints(stage.work / "checkpoints", execution.checkpoint_period_s, stage.say, ranks)
    total = total_steps(settings, len(data))
    stage.say(f"{len(data)} demonstrations ({data.left_out} too long), {total} steps of {settings.batch_size}")
    train(
        engine,
        Session(engine, checkpoints, stage, total, ranks),
        data,
        validation,
        settings,
        stage,
        stage.seed,
        execution.micro_batch_tokens,
        ranks,
    )
    with engine.whole() as whole:
        if ranks.first:
            policy.save(whole, tokens, stage.out("models/sft/model"))
            _write_figures(stage, total, data)
    ranks.leave()


def _write_figures(stage: Stage, total: int, data: Demonstrations) -> None:
    """The curve, and means over its last twentieth."""
    shutil.copyfile(stage.curve_path, stage.out("curves/sft.jsonl"))
    rows = [json.loads(line) for line in stage.curve_path.read_text("utf-8").splitlines()]
    tail = rows[-max(1, len(rows) // 20) :]
    metrics = {"steps": total, "demonstrations": len(data), "left_out": data.left_out, "loss": sum(row["loss"] for row in tail) / len(tail)}
    metrics |= {"validation_loss": rows[-1]["validation_loss"]} if "validation_loss" in rows[-1] else {}
    stage.out("metrics/train/sft.json").write_text(json.dumps(metrics, indent=1) + "\n", "utf-8")
