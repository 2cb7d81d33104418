"""Ctrl-C and SIGTERM, at work and while Prefect's server still starts; two runs of one workspace at once."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.flows.accident import STEPS, Scene, until, words_of
from tests.flows.records import mlflow_runs, prefect_flows, prefect_tasks


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_stopped_at_work(scene: Scene, how: str) -> None:
    scene.stage("sft", STEPS)
    before = scene.shown()
    run = scene.launch("run", "sft@sft", "evaluate@sft")
    until(scene.holds)
    pressed = time.monotonic()
    if how == "Ctrl-C":
        os.killpg(run.pid, signal.SIGINT)
    else:
        run.terminate()
    until(lambda: not any("tasks" in words_of(process) for process in scene.left()), 30)
    assert time.monotonic() - pressed < 30  # 20 s are promised; the rest is for a busy machine
    assert run.wait(60) == 1
    until(lambda: not scene.left(), 30)
    assert "was stopped; the next run resumes from its last checkpoint" in scene.output()
    assert scene.shown() == before
    assert prefect_flows(scene.folder)[-1] == "CANCELLED"
    assert "RUNNING" not in prefect_tasks(scene.folder)
    assert mlflow_runs(scene.folder)[-2:] == [("flow", "KILLED"), ("sft@sft", "KILLED")]
    assert not (scene.folder / ".whetstone/owner.json").exists()

    scene.go()
    assert scene.session("sft@sft").how == {"sft@sft": "run"}
    assert scene.started() == [0, 5]


def test_stopped_before_the_first_stage(scene: Scene) -> None:
    scene.stage("sft", STEPS)
    log = scene.folder / ".whetstone/logs/prefect-server.log"
    log.unlink()
    run = scene.launch("run", "sft@sft")
    until(log.exists)
    run.terminate()
    assert run.wait(90) == 1
    until(lambda: not scene.left(), 30)
    assert scene.started() == []
    assert "Traceback" not in scene.output()


def test_second_run_is_refused(scene: Scene) -> None:
    scene.stage("sft", STEPS)
    first = scene.launch("run", "sft@sft")
    until(scene.holds)
    second = scene.call("run")
    assert second.returncode == 1
    assert f"pid {first.pid}" in second.stderr
    assert f"kill {first.pid}" in second.stderr
    bare = scene.dvc("repro", "sft@sft")
    assert bare.returncode != 0
    assert f"(PID {first.pid})" in bare.stderr
    planned = scene.call("plan", "sft@sft")
    assert planned.returncode == 0
    scene.go()
    assert first.wait(120) == 0, scene.output()
    assert scene.started() == [0]
    assert scene.plan("sft@sft") == {}
    assert not scene.broken_objects()
