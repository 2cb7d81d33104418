"""Stages that start before Prefect is up: nothing they say is lost, and they end with it should it not come
up.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from flows.running.executor import Result, StageFailed, StageWatch
from flows.running.head_start import BACKLOG, HeadStart
from tests.flows.accident import STEPS, Scene, until


class Listener:
    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.watch = StageWatch(line=self.heard.append, progress=self.heard.append)


def test_what_was_said_before_and_after_joining_comes_in_order_and_once():
    joined, listener = threading.Event(), Listener()

    def bring(watch: StageWatch) -> Result:
        for number in range(5):
            watch.line(f"line {number}")
        watch.progress({"done": 1})
        joined.wait(10)
        watch.line("last")
        return Result("sft@sft", "run")

    ahead = HeadStart("sft@sft", bring)
    releasing = threading.Timer(0.2, joined.set)
    releasing.start()
    assert ahead.join(listener.watch) == Result("sft@sft", "run")
    assert listener.heard == [*(f"line {number}" for number in range(5)), {"done": 1}, "last"]


def test_a_talkative_stage_is_remembered_by_its_last_words():
    def bring(watch: StageWatch) -> Result:
        for number in range(BACKLOG + 10):
            watch.line(str(number))
        return Result("sft@sft", "run")

    ahead, listener = HeadStart("sft@sft", bring), Listener()
    ahead.wait()
    ahead.join(listener.watch)
    assert listener.heard == [str(number) for number in range(10, BACKLOG + 10)]


def test_a_failure_is_raised_to_whoever_joins():
    def bring(watch: StageWatch) -> Result:
        raise StageFailed("sft exited with 1")

    with pytest.raises(StageFailed, match="exited with 1"):
        HeadStart("sft@sft", bring).join(StageWatch())


def test_a_server_that_does_not_come_up_stops_the_stage_and_the_next_run_goes_on(scene: Scene):
    scene.stage("sft", STEPS)
    scene.env["PREFECT_API_DATABASE_CONNECTION_URL"] = "sqlite+aiosqlite:////proc/nowhere/prefect.db"
    run = scene.launch("run", "sft@sft")
    assert run.wait(120) == 1
    assert "Prefect's server did not start" in scene.output()
    assert "prefect-server.log" in scene.output()
    assert scene.started() == [0], "the stage did not start while the server was tried"
    until(lambda: not scene.left(), 30)
    assert scene.plan("sft@sft") == {"sft@sft": "run"}
    del scene.env["PREFECT_API_DATABASE_CONNECTION_URL"]
    scene.go()
    assert scene.session("sft@sft").how == {"sft@sft": "run"}
    assert scene.started() == [0, 5]
