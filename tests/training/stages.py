"""Runs learning stages on a tiny corpus in a scratch folder, in this process or in a child that can be killed.

    python -m tests.training.stages FOLDER STAGE STEP:SIGNAL

runs STAGE and sends itself SIGNAL when the curve reaches STEP.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from pipelines.corpora.record import write_records
from pipelines.models import policy
from tasks.stage import Spec, Stage
from tests.tiny import make_records, make_tiny_model, make_tiny_tokens

SFT: dict[str, Any] = {"steps": 30, "batch_size": 8, "validation_every": 10, "optimiser": {"learning_rate": 3e-3, "kind": "muon"}}
GRPO: dict[str, Any] = {
    "iterations": 8,
    "prompts": 6,
    "samples": 4,
    "sampling": {"max_new_tokens": 8},
    "validation_every": 3,
    "validation_size": 10,
    "kl_coef": 0.01,
    "epochs": 2,
    "optimiser": {"learning_rate": 1e-3},
}
EVALUATE: dict[str, Any] = {"sampling": {"max_new_tokens": 8}, "samples": 2}
OUTS = {
    "sft": ("models/sft/model", "curves/sft.jsonl", "metrics/train/sft.json"),
    "rl@grpo": ("models/grpo/model", "curves/grpo.jsonl", "metrics/train/grpo.json"),
    "evaluate@sft": ("metrics/evaluate/sft.json", "samples/sft.jsonl"),
    "evaluate@grpo": ("metrics/evaluate/grpo.json", "samples/grpo.jsonl"),
}


def make_inputs(folder: Path, count: int = 40) -> None:
    """A corpus, a base model, and the base model again in the place of sft's (so that stages can be tested apart)."""
    tokens = make_tiny_tokens(folder / "data/tiny/tokenizer")
    (folder / "data/tiny/records").mkdir(parents=True)
    for name in ("sft", "rl", "validation", "heldout"):
        write_records(folder / f"data/tiny/records/{name}.jsonl", make_records(tokens, count))
    for name in ("base", "sft"):
        policy.save(make_tiny_model(tokens), tokens, folder / f"models/{name}/model")


def make_stage(folder: Path, name: str, work: str = "work", sections: dict[str, Any] | None = None, **execution: Any) -> Stage:
    """A stage whose inputs and outputs are relative to the current folder; it must be `folder`."""
    assert Path.cwd() == folder.resolve()
    sections = {"sft": SFT, "rl.grpo": GRPO, "evaluate.settings": EVALUATE} | (sections or {})
    inputs = dict.fromkeys(["models/base/model", "models/sft/model", "models/grpo/model", "data/tiny/records"], "")
    params = {"identity.seed": 0, "train.corpus": "tiny"} | sections
    execution = {"device": "cpu", "threads": 1, "log_period_s": 0} | execution
    stage = Stage(Spec(name, "key", f"{work}/{name}", OUTS[name], inputs, params, execution=execution))
    stage.work.mkdir(parents=True, exist_ok=True)
    return stage


def run(stage: Stage) -> dict[str, bytes]:
    """Run it; returns the bytes of every output file by its path."""
    import_module(f"tasks.{stage.name.partition('@')[0]}").run(stage)
    found = stage.work / "outs"
    return {str(path.relative_to(found)): path.read_bytes() for path in sorted(found.rglob("*")) if path.is_file()}


def _main() -> None:
    folder, name, stop = sys.argv[1:]
    step, _, number = stop.partition(":")
    os.chdir(folder)
    stage = make_stage(Path(folder), name, checkpoint_period_s=0)
    log = stage.log

    def log_and_stop(row: int, **metrics: float) -> None:
        log(row, **metrics)
        if row == int(step):
            os.kill(os.getpid(), getattr(signal, number))

    stage.log = log_and_stop
    run(stage)


if __name__ == "__main__":
    _main()
