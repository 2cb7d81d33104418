"""The `sft` stage: supervised fine-tuning of the base model on the corpus's demonstrations."""

from __future__ import annotations

import json
import shutil

from pipelines.corpora.record import read_records
from pipelines.models import policy
from pipelines.models.placement import Placement
from pipelines.training.checkpoints import Checkpoints
from pipelines.training.engine import TorchEngine
from pipelines.training.session import Session
from pipelines.training.supervised import Demonstrations, total_steps, train
from pipelines.training.supervised_params import SupervisedParams
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write models/sft/model, curves/sft.jsonl and metrics/train/sft.json."""
    settings, execution = stage.section("sft", SupervisedParams), stage.execution
    records = stage.input(f"data/{stage.value('train.corpus')}/records")
    placement = Placement.resolve(execution.device, execution.dtype, execution.threads)
    model, tokens = policy.load(stage.input("models/base/model"), trust_remote_code=execution.trust_remote_code)
    data = Demonstrations(read_records(records / "sft.jsonl"), settings.max_tokens)
    validation = Demonstrations(read_records(records / "validation.jsonl"), settings.max_tokens) if settings.validation_every else None
    engine = TorchEngine(model, settings.optimiser, placement)
    checkpoints = Checkpoints(stage.work / "checkpoints", execution.checkpoint_period_s, stage.say)
    total = total_steps(settings, len(data))
    stage.say(f"{len(data)} demonstrations ({data.left_out} too long), {total} steps of {settings.batch_size}")
    train(
        engine,
        Session(engine, checkpoints, stage, total),
        data,
        validation,
        settings,
        stage,
        tokens.pad_id,
        stage.seed,
        execution.micro_batch_tokens,
    )
    policy.save(model, tokens, stage.out("models/sft/model"))
    shutil.copyfile(stage.curve_path, stage.out("curves/sft.jsonl"))
    rows = [json.loads(line) for line in stage.curve_path.read_text("utf-8").splitlines()]
    tail = rows[-max(1, len(rows) // 20) :]
    metrics = {"steps": total, "demonstrations": len(data), "left_out": data.left_out, "loss": sum(row["loss"] for row in tail) / len(tail)}
    metrics |= {"validation_loss": rows[-1]["validation_loss"]} if "validation_loss" in rows[-1] else {}
    stage.out("metrics/train/sft.json").write_text(json.dumps(metrics, indent=1) + "\n", "utf-8")
