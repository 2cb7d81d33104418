"""MLflow's store locked, gone from the start, or gone in the middle: the stage ends well, and people are told
once.
"""

from __future__ import annotations

import sqlite3

import pytest

from flows.running.executor import StageWatch
from tests.flows.accident import STEPS, Scene, until
from tests.flows.records import mlflow_runs

EDIT = ("pipelines/toy/supervised.py", "0.5", "0.25")


def told(scene: Scene) -> list[str]:
    return [text for text in scene.heard.said if "MLflow" in text]


def test_locked_store(scene: Scene) -> None:
    scene.edit(*EDIT)
    holder = sqlite3.connect(scene.folder / ".whetstone/mlflow.db", isolation_level=None)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        assert scene.session("evaluate@sft").how == {"sft@sft": "run", "evaluate@sft": "run"}
    finally:
        holder.close()
    (text,) = told(scene)
    assert "locked" in text
    assert "fix: end the process that holds the file" in text
    assert scene.plan("evaluate@sft") == {}


@pytest.mark.parametrize("uri", ["sqlite:////proc/nowhere/mlflow.db", "http://127.0.0.1:9"])
def test_store_out_of_reach(scene: Scene, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    scene.edit(*EDIT)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert scene.session("sft@sft").how == {"sft@sft": "run"}
    (text,) = told(scene)
    assert uri.removeprefix("sqlite:///") in text
    assert "the run goes on without tracking; fix: " in text


def test_store_that_vanishes_during_the_run(scene: Scene) -> None:
    scene.stage("sft", STEPS)
    store = scene.folder / ".whetstone/mlflow.db"

    def remove(row: dict[str, object]) -> None:
        if row["done"] == 5:
            until(lambda: mlflow_runs(scene.folder)[-1] == ("sft@sft", "RUNNING"))  # MLflow has opened it
            store.unlink(missing_ok=True)
            scene.go()

    assert scene.session("sft@sft", watch=StageWatch(progress=remove)).how == {"sft@sft": "run"}
    (text,) = told(scene)
    assert "removed" in text
    assert scene.plan("sft@sft") == {}
