"""The rl stage in two processes: the same figures as in one, whatever ZeRO divides, with every kind of state
that a method carries.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.training.stages import make_inputs, make_stage, run

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "iterations": 3,
    "validation_every": 2,
    "validation_size": 10,
    "sampling": {"max_new_tokens": 8},
    # Adam's usual epsilon makes rounding of a zero gradient a whole step
    "optimiser": {"learning_rate": 3e-4, "epsilon": 1e-5},
    "zero_signal": "count",
}
PPO = {
    "sampler": {"kind": "flat", "samples": 1},
    "prompts": 16,
    "credit": {"kind": "gae"},
    "critic": {"warmup": 1, "optimiser": {"learning_rate": 1e-3, "epsilon": 1e-5}},
    "whitening": {"how": "population", "epsilon": 1e-5},
    "whitened_over": "rollout",
    "kl": {"use": "reward", "coef": 0.02, "estimator": "k1"},
    "reference": {"rate": 0.05},
}
TREE = {
    "sampler": {"kind": "tree", "branching": [3, 2], "segment": 3},
    "prompts": 6,
    "credit": {"kind": "segment_tree"},
    "replay": {"rows": 64, "per_prompt": 8, "max_age": 3},
}
THIN = {  # one prompt and few tokens that carry loss: some updates have none, and must not be steps
    "iterations": 6,
    "sampler": {"kind": "flat", "samples": 4},
    "prompts": 1,
    "mask": {"kind": "probability", "below": 0.3},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "zero_stage"),
    [(PPO, 3), (TREE, 2), (THIN, 1), (THIN, 3)],
    ids=["ppo, ZeRO-3", "spo_tree, ZeRO-2", "empty updates, ZeRO-1", "empty updates, ZeRO-3"],
)
def test_two_processes_have_the_figures_of_one(tmp_path, monkeypatch, learning_python, settings, zero_stage):
    make_inputs(tmp_path, trained=True)
    monkeypatch.chdir(tmp_path)
    sections = {"rl.methods.grpo": SMALL | settings}
    alone = run(make_stage(tmp_path, "rl@grpo", "alone", sections))["curves/grpo.jsonl"]
    options = {"processes": 2, "zero_stage": zero_stage, "micro_batch_tokens": 80, "checkpoint_period_s": 0}
    stage = make_stage(tmp_path, "rl@grpo", "two", sections, **options)
    stage.spec.write(tmp_path / "spec.json")
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "WHETSTONE_SPEC": str(tmp_path / "spec.json"),
    }
    done = subprocess.run(
        [learning_python, "-m", "tasks", "rl@grpo"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    together = Path("curves/grpo.jsonl").read_text()
    assert (
        0 < sum(json.loads(line).get("reward", 0.0) for line in alone.splitlines()) < SMALL["iterations"]
    ), "there is something to learn from"
    for one, two in zip(alone.splitlines(), together.splitlines(), strict=True):
        assert json.loads(two) == pytest.approx(json.loads(one), rel=2e-3, abs=2e-3)
    shutil.rmtree(tmp_path / "two")
