"""Curves for TensorBoard and Weights & Biases, read back from what their own packages wrote."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.running import curve_followers
from flows.running.curve_followers import CurveFollower
from tasks.stage import Spec
from tasks.trackers import Home
from tests.flows.accident import STEPS, Scene

LOSSES = {step: 1.0 / (step + 1) for step in range(12)}
Curves = dict[str, dict[int, float]]


def tensorboard_curves(folder: Path) -> Curves:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    curves: Curves = {}
    (path,) = folder.glob("events.*")
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            number = value.tensor.float_val[0] if value.HasField("tensor") else value.simple_value
            curves.setdefault(value.tag, {})[event.step] = number
    return curves


def wandb_records(data: bytes) -> Iterator[bytes]:
    """The records of W&B's file: LevelDB's log format, in blocks of 32 KiB after a head of seven bytes."""
    place, part = 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        part += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield part
            part = b""


def wandb_runs(folder: Path) -> list[tuple[Any, Curves, dict[str, Any]]]:
    """(run, curves, summary) of each offline run, from W&B's own file."""
    from wandb.proto.wandb_internal_pb2 import Record

    runs = []
    for path in sorted(folder.glob("offline-run-*/*.wandb")):
        run, curves, summary = None, dict[str, dict[int, float]](), dict[str, Any]()
        for data in wandb_records(path.read_bytes()):
            record = Record()
            record.ParseFromString(data)
            if record.HasField("run"):
                run = record.run
            for item in record.history.item:
                name = item.key or item.nested_key[0]
                curves.setdefault(name, {})[record.history.step.num] = json.loads(item.value_json)
            for item in record.summary.update:
                summary[item.key or item.nested_key[0]] = json.loads(item.value_json)
        runs.append((run, curves, summary))
    return runs


def train(scene: Scene, tracker: str) -> str:
    """Train with twelve steps, of a project whose other results are fresh; returns the run's name."""
    scene.stage("sft", STEPS)
    scene.go()
    scene.set("execution.trackers", [tracker])
    assert scene.session("sft@sft").how == {"sft@sft": "run"}
    assert scene.plan("sft@sft") == {}
    (name,) = (text.removeprefix("run ") for text in scene.heard.said if text.startswith("run "))
    return name


def test_tensorboard_gets_every_step(scene: Scene):
    pytest.importorskip("tensorboard", reason="pip install '.[tensorboard]'")
    name = train(scene, "tensorboard")
    curves = tensorboard_curves(scene.folder / ".whetstone/tensorboard" / name / "sft@sft")
    assert curves["loss"] == pytest.approx(LOSSES)
    assert curves["final/steps"] == {11: 12.0}
    assert any("tensorboard --logdir .whetstone/tensorboard" in text for text in scene.heard.said)


def test_wandb_offline_gets_every_step_without_secrets(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("wandb", reason="pip install '.[wandb]'")
    for name in ("WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    name = train(scene, "wandb")
    folder = scene.folder / ".whetstone/wandb"
    ((run, curves, summary),) = wandb_runs(folder)
    assert (run.display_name, run.run_group, run.job_type) == (f"{name} sft@sft", name, "sft")
    assert curves["loss"] == pytest.approx(LOSSES)
    assert summary["final/steps"] == 12
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["sft.runs.sft.steps"] == 1000
    assert any("`wandb sync` sends it" in text for text in scene.heard.said)


@pytest.mark.parametrize("kind", ["tensorboard", "wandb"])
def test_a_tracker_that_is_not_installed_is_said_and_fails_no_run(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, kind: str
):
    def missing(kind: str, home: Home) -> Any:
        raise ModuleNotFoundError(f"No module named '{kind}'")

    monkeypatch.setattr(curve_followers, "open_writer", missing)
    train(scene, kind)
    (text,) = (text for text in scene.heard.said if kind in text)
    assert f"{kind} gets no curves: No module named '{kind}'; pip install '.[{kind}]'" in text


def test_trackers_make_nothing_stale_and_unknown_ones_are_refused(scene: Scene):
    before = scene.plan()
    scene.set("execution.trackers", ["tensorboard", "wandb"])
    scene.set("execution.notify", {"command": "true", "url": "http://127.0.0.1:9/x"})
    assert scene.plan() == before == {}
    scene.set("execution.trackers", ["comet"])
    done = scene.call("plan")
    assert done.returncode == 2
    assert "execution.trackers" in done.stderr


class Memory:
    """A writer that remembers, and may refuse."""

    place = "memory"

    def __init__(self, refuse: Callable[[Sequence[Mapping[str, Any]]], None] = lambda rows: None):
        self.refuse = refuse
        self.written: list[Mapping[str, Any]] = []
        self.ended: list[tuple[bool, Mapping[str, float]]] = []

    def open(self, stage: str, params: Mapping[str, Any]) -> Memory:
        return self

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.refuse(rows)
        self.written += rows

    def end(self, ok: bool, metrics: Mapping[str, float]) -> None:
        self.ended.append((ok, metrics))

    def close(self) -> None: ...


def follow(memory: Memory, work: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[CurveFollower, list[str]]:
    said: list[str] = []
    monkeypatch.setattr(curve_followers, "open_writer", lambda kind, home: memory)
    follower = CurveFollower("wandb", Home(work, "r", True), said.append)
    follower.stage_started(Spec("sft@sft", "k", str(work)))
    return follower, said


def test_the_rest_of_a_curve_is_read_before_the_work_directory_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    memory = Memory()
    follower, _ = follow(memory, tmp_path, monkeypatch)
    curve = tmp_path / "curve.jsonl"
    curve.write_text('{"step": 0, "loss": 1, "api_key": 3}\n{"step": 1, "lo')
    assert follower.stage_command_ended("sft@sft").wait(10)
    assert memory.written == [{"step": 0, "loss": 1}]
    with open(curve, "a") as stream:
        stream.write('ss": 2}\n')
    follower.stage_ended("sft@sft", False, {})  # a failed one, whose directory stays
    follower.close()
    assert [row["step"] for row in memory.written][-1] == 1
    assert memory.ended == [(False, {})]


def test_a_tracker_that_fails_is_said_once_and_holds_no_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(rows: Sequence[Mapping[str, Any]]) -> None:
        raise RuntimeError("401 at https://me:hunter2@host/")

    follower, said = follow(Memory(refuse), tmp_path, monkeypatch)
    (tmp_path / "curve.jsonl").write_text('{"step": 0, "loss": 1}\n')
    for _ in range(3):
        assert follower.stage_command_ended("sft@sft").wait(10)
    follower.close()
    assert said == ["wandb gets no more curves: 401 at https://me:***@host/; the run goes on without it"]
