"""The `rl@<method>` stage: policy optimisation with verifiable rewards, from the fine-tuned model."""

from __future__ import annotations

import copy
import json
import shutil

from pipelines.corpora.record import read_records
from pipelines.models import policy
from pipelines.models.placement import Placement
from pipelines.rollouts.local import LocalEngine
from pipelines.training.checkpoints import Checkpoints
from pipelines.training.engine import TorchEngine
from pipelines.training.policy import PolicyTrainer
from pipelines.training.policy_params import PolicyParams
from pipelines.training.session import Session
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write models/<method>/model, curves/<method>.jsonl and metrics/train/<method>.json."""
    method = stage.item
    settings, execution = stage.section(f"rl.{method}", PolicyParams), stage.execution
    records = stage.input(f"data/{stage.value('train.corpus')}/records")
    placement = Placement.resolve(execution.device, execution.dtype, execution.threads)
    model, tokens = policy.load(stage.input("models/sft/model"), trust_remote_code=execution.trust_remote_code)
    referred = bool(settings.kl_coef or settings.validation_every)
    reference = copy.deepcopy(model).to(placement.device).eval().requires_grad_(False) if referred else None
    engine = TorchEngine(model, settings.optimiser, placement)
    session = Session(engine, Checkpoints(stage.work / "checkpoints", execution.checkpoint_period_s, stage.say), stage, settings.iterations)
    trainer = PolicyTrainer(
        engine,
        LocalEngine(model, tokens, placement, execution.sample_batch),
        reference,
        tokens,
        read_records(records / "rl.jsonl"),
        read_records(records / "validation.jsonl"),
        settings,
        stage.seed,
        execution.micro_batch_tokens,
    )
    trainer.train(session, stage)
    policy.save(model, tokens, stage.out(f"models/{method}/model"))
    shutil.copyfile(stage.curve_path, stage.out(f"curves/{method}.jsonl"))
    stage.out(f"metrics/train/{method}.json").write_text(json.dumps(_summary(stage), indent=1) + "\n", "utf-8")


def _summary(stage: Stage) -> dict[str, float]:
    """Means over the last twentieth of the iterations, the tokens sampled, and the last validation."""
    rows = [json.loads(line) for line in stage.curve_path.read_text("utf-8").splitlines()]
    trained = [row for row in rows if "reward" in row]
    tail = trained[-max(1, len(trained) // 20) :]
    summary = {"iterations": len(trained), "sampled_tokens": sum(row["sampled_tokens"] for row in trained)}
    summary |= {name: sum(row[name] for row in tail) / len(tail) for name in ("reward", "accuracy", "entropy", "length", "kept_groups")}
    return summary | {name: value for name, value in rows[-1].items() if name.startswith("validation_") or name == "kl"}
