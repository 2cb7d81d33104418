"""A killed stage goes on to the same bytes: models, metrics and every row of the curve."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from pipelines.training.checkpoints import CheckpointNotWritten, Checkpoints
from pipelines.training.engine import TorchEngine
from pipelines.training.options import OptimiserParams
from tests.tiny import CPU, make_tiny_model, make_tiny_tokens
from tests.training.stages import SFT, make_inputs, make_stage, run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    make_inputs(folder)
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield folder, {name: run(make_stage(folder, name, "undisturbed")) for name in ("sft@sft", "rl@grpo")}
    finally:
        os.chdir(here)


def start(python, folder, name, stop):
    command = [python, "-m", "tests.training.stages", str(folder), name, stop]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, timeout=120
    ).returncode


@pytest.mark.parametrize(
    ("name", "stop", "status"),
    [("sft@sft", "17:SIGKILL", -9), ("rl@grpo", "5:SIGKILL", -9), ("rl@grpo", "3:SIGTERM", 143)],
)
def test_a_killed_stage_ends_byte_equal(undisturbed, learning_python, name, stop, status):
    folder, expected = undisturbed
    work = folder / "work" / name
    subprocess.run(["rm", "-rf", str(work)], check=True)
    assert start(learning_python, folder, name, stop) == status
    assert not (work / "outs").exists(), "nothing may look finished"
    assert len(list((work / "checkpoints").glob("step-*"))) == 1
    with open(work / "curve.jsonl", "a") as stream:
        stream.write('{"step": 1')  # what a kill in the middle of a write leaves
    assert run(make_stage(folder, name)) == expected[name]


@pytest.fixture(scope="module")
def able(tmp_path_factory):
    """A start model that answers about half of the problems: every method has something to learn from."""
    folder = tmp_path_factory.mktemp("able")
    make_inputs(folder, trained=True)
    return folder


STOPS = {
    "ppo": ("2:SIGKILL", "4:SIGKILL"),  # within and after the critic's warm-up
    "grpo_kl": ("2:SIGTERM",),
    "best": ("4:SIGKILL",),
    "budget": ("3:SIGKILL",),
    "clip_cov": ("in1:SIGTERM", "4:SIGKILL"),  # within the validation before the first step
    "dapo": ("in6:SIGTERM",),  # within a refill
    "spo_chain": ("in6:SIGTERM",),
    "spo_tree": ("2:SIGKILL", "in8:SIGTERM"),
}


@pytest.mark.parametrize("method", STOPS)
def test_a_killed_method_ends_byte_equal(able, monkeypatch, learning_python, method):
    """Stopped once or twice, the same model, curve and figures: optimisers, critic, value statistics, moving
    reference, replay buffer.
    """
    monkeypatch.chdir(able)
    name = f"rl@{method}"
    expected = run(make_stage(able, name, "undisturbed"))
    rows = [json.loads(line) for line in expected[f"curves/{method}.jsonl"].splitlines()]
    assert sum(row.get("updates", 0) for row in rows) > 3, "a run that learns nothing proves nothing"
    assert method != "spo_tree" or min(row["replay_size"] for row in rows if "replay_size" in row) > 0, (
        "segments must wait over the kill"
    )
    for stop in STOPS[method]:
        assert start(learning_python, able, name, stop) == (143 if stop.endswith("TERM") else -9)
        assert not (able / "work" / name / "outs").exists(), "nothing may look finished"
        done = json.loads(next((able / "work" / name / "checkpoints").glob("step-*/state.json")).read_text())[
            "done"
        ]
        assert done < len(rows)
        assert (done == 0) == (stop == "in1:SIGTERM")
    assert run(make_stage(able, name)) == expected


def test_a_run_that_died_before_its_first_checkpoint_starts_over(undisturbed):
    folder, expected = undisturbed
    stage = make_stage(folder, "sft@sft", "fresh")
    stage.curve_path.write_text('{"step": 1, "loss": 9.0}\n{"step": 2, "loss": 9.0}\n')
    assert run(stage) == expected["sft@sft"]


def test_the_micro_batch_size_changes_float_noise_only(undisturbed):
    folder, _ = undisturbed
    sections = {"sft.common": SFT | {"steps": 6, "optimiser": {"learning_rate": 3e-3}}}
    curves = []
    for tokens in (10_000, 32):
        files = run(make_stage(folder, "sft@sft", f"cut-{tokens}", sections, micro_batch_tokens=tokens))
        curves.append([json.loads(line) for line in files["curves/sft.jsonl"].splitlines()])
    for one, other in zip(*curves, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.fixture
def engine(tmp_path):
    return TorchEngine(make_tiny_model(make_tiny_tokens(tmp_path / "tokens")), OptimiserParams(), CPU)


def test_a_damaged_checkpoint_is_skipped_with_a_reason(engine, tmp_path):
    said = []
    checkpoints = Checkpoints(tmp_path / "c", 0, said.append)
    checkpoints.save(1, engine)
    older = tmp_path / "older"
    (tmp_path / "c/step-00000001").rename(older)
    checkpoints.save(2, engine)
    older.rename(tmp_path / "c/step-00000001")
    weights = tmp_path / "c/step-00000002/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    assert checkpoints.resume(engine) == 1
    assert "step-00000002" in said[0]
    assert "bytes instead of" in said[0]


def test_a_full_disk_keeps_the_earlier_checkpoint(engine, tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path / "c", 0, print)
    checkpoints.save(1, engine)

    def full(folder):
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine, "save", full)
    with pytest.raises(CheckpointNotWritten, match=r"No space left.*make room and run again"):
        checkpoints.save(2, engine)
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["step-00000001"]
    assert checkpoints.resume(engine) == 1


def test_only_the_newest_checkpoint_stays(engine, tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", 0, print)
    for done in (1, 2, 3):
        checkpoints.save(done, engine)
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["step-00000003"]


def test_a_really_full_disk(engine, tmp_path):
    """On a tmpfs that holds one checkpoint and a half, where this machine lets a test mount one."""
    engine.backward(
        engine.forward(torch.tensor([[4, 5, 6]]), torch.tensor([[False, True, True]])).logprobs.sum()
    )
    engine.step(1.0)
    Checkpoints(tmp_path / "measure", 0, print).save(1, engine)
    size = sum(path.stat().st_size for path in (tmp_path / "measure").rglob("*") if path.is_file())
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size * 3 // 2}", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        checkpoints = Checkpoints(disk / "c", 0, print)
        checkpoints.save(1, engine)
        with pytest.raises(CheckpointNotWritten, match="MB are free there"):
            checkpoints.save(2, engine)
        assert [path.name for path in (disk / "c").iterdir()] == ["step-00000001"]
        assert checkpoints.resume(engine) == 1
    finally:
        subprocess.run(["umount", str(disk)], check=True)
