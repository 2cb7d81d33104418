"""A whole stage in two processes, stopped once and resumed, ends where one process does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.stages import OUTS, make_inputs, make_stage, run

ROOT = Path(__file__).resolve().parents[2]
SFT = {
    "steps": 40,
    "batch_size": 8,
    "validation_every": 10,
    "optimiser": {"learning_rate": 3e-4, "epsilon": 1e-5},
}


def start(spec):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WHETSTONE_SPEC": str(spec)}
    return subprocess.Popen(
        [sys.executable, "-m", "tasks", "sft@sft"], env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_sft_in_two_processes_is_stopped_resumed_and_equal_to_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_inputs(tmp_path)
    alone = run(make_stage(tmp_path, "sft@sft", "alone", {"sft.common": SFT}))
    several = {"processes": 2, "zero_stage": 2, "checkpoint_period_s": 0, "micro_batch_tokens": 30}
    stage = make_stage(tmp_path, "sft@sft", "several", {"sft.common": SFT}, **several)
    stage.spec.write(tmp_path / "spec.json")

    first = start(tmp_path / "spec.json")
    end = time.monotonic() + 60
    while not list((stage.work / "checkpoints").glob("step-*")):
        assert first.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    first.send_signal(signal.SIGTERM)
    first.communicate()
    assert first.returncode == 143
    assert not (stage.work / "outs").exists(), "nothing may look finished"
    done = json.loads(next((stage.work / "checkpoints").glob("step-*/state.json")).read_text())
    assert done["done"] < SFT["steps"]
    assert done["execution"] == {"processes": 2, "zero_stage": 2}

    second = start(tmp_path / "spec.json")
    output, _ = second.communicate()
    assert second.returncode == 0, output
    assert output.count(f"going on after step {done['done']} from") == 1, "one rank speaks"
    for name in OUTS["sft@sft"][1:]:
        assert Path(name).exists()
    rows, expected = (
        [json.loads(line) for line in text.splitlines()]
        for text in (Path("curves/sft.jsonl").read_text(), alone["curves/sft.jsonl"])
    )
    assert len(rows) == len(expected) == SFT["steps"]
    for row, other in zip(rows, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-3)
    (tmp_path / "alone.safetensors").write_bytes(alone["models/sft/model/model.safetensors"])
    torch.testing.assert_close(
        load_file("models/sft/model/model.safetensors"), load_file("alone.safetensors"), atol=1e-4, rtol=1e-3
    )
