"""kill -9 of the runner, of a stage, of its supervisor, and in every moment between a finished command and
its record.
"""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

import psutil
import pytest

from flows.running.executor import StageWatch
from flows.workspace import read_json
from tasks import publish
from tests.flows.accident import STEPS, Scene, until, words_of
from tests.flows.records import mlflow_runs, prefect_flows, prefect_tasks

# A run that kills itself at a chosen moment of recording `sft`; AT is code that puts `die` in place.
SUICIDE = """
import os, signal
from pathlib import Path
import dvc.stage, dvc.stage.cache
from flows.graph import dvc_record, plan
from flows.running import executor
from flows.running.session import Session

def die(*words, **more):
    os.kill(os.getpid(), signal.SIGKILL)

AT
with Session(Path.cwd(), ["sft@sft"]) as session:
    for row in session.plan.todo:
        session.bring(row)
"""

MOMENTS = {
    "before the record": "executor._record = die",
    "before the run cache": "dvc.stage.cache.StageCache.save = die",
    "before the cache": "dvc.stage.PipelineStage.commit = die",
    "before dvc.lock": """
whole = dvc_record.dump
dvc_record.dump = lambda repo, stage: die() if stage.name == "sft@sft" else whole(repo, stage)
""",
    "while dvc.lock is written": """
whole = dvc_record.dump
def dump(repo, stage):
    whole(repo, stage)
    if stage.name != "sft@sft":
        return
    text = Path("dvc.lock").read_text()
    Path("dvc.lock").write_text(text[: len(text) * 2 // 3])
    die()
dvc_record.dump = dump
""",
    "while the work directory goes": "executor.shutil.rmtree = die",
}


def test_killed_runner(scene: Scene) -> None:
    scene.stage("sft", STEPS)
    scene.set("execution.gpus", 1)
    before = scene.shown(["models/sft"])
    run = scene.launch("run", "sft@sft")
    until(scene.holds)
    # the stage starts before Prefect is up
    until(lambda: (read_json(scene.folder / ".whetstone/owner.json") or {}).get("prefect"))
    until(lambda: mlflow_runs(scene.folder)[-1] == ("sft@sft", "RUNNING"))
    with open(scene.folder / ".whetstone/gpu/0.lock", "a+") as slot, pytest.raises(BlockingIOError):
        fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
    run.kill()
    run.wait()
    until(lambda: not scene.left(), 30)  # the stage, its stubborn child and Prefect's server
    assert scene.shown(["models/sft"]) == before

    scene.go()
    done = scene.call("run", "sft@sft")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "did not end by itself" in done.stdout
    records = [read_json(path) for path in (scene.folder / ".whetstone/runs").glob("*.json")]
    outcomes = [record["outcome"] for record in sorted(records, key=lambda record: record["started"])]
    assert outcomes[-2:] == ["killed", "done"]
    assert scene.started() == [0, 5]
    assert prefect_flows(scene.folder)[-2:] == ["CRASHED", "COMPLETED"]
    assert "RUNNING" not in prefect_tasks(scene.folder)
    assert mlflow_runs(scene.folder)[-4:] == [
        ("flow", "KILLED"),
        ("sft@sft", "KILLED"),
        ("flow", "FINISHED"),
        ("sft@sft", "FINISHED"),
    ]
    assert not scene.broken_objects()


@pytest.mark.parametrize("victim", ["stage", "lifeline", "both"])
def test_killed_stage(scene: Scene, victim: str) -> None:
    scene.stage("sft", STEPS)
    before = scene.shown(["models/sft"])

    def kill(row: dict[str, object]) -> None:
        if row["done"] != 5 or len(scene.started()) > 1:
            return
        lifeline = next(process for process in scene.left() if "lifeline.py" in " ".join(words_of(process)))
        stage = [child for child in lifeline.children() if "tasks" in words_of(child)]
        for process in {"stage": stage, "lifeline": [lifeline], "both": [lifeline, *stage]}[victim]:
            process.kill()

    outcome = scene.session("sft@sft", watch=StageWatch(progress=kill))
    assert outcome.how == {"sft@sft": "failed"}
    assert "SIGKILL" in outcome.why["sft@sft"]
    assert "log: " in outcome.why["sft@sft"]
    until(lambda: not scene.left(), 30)
    assert scene.shown(["models/sft"]) == before
    scene.go()
    assert scene.session("sft@sft").how == {"sft@sft": "run"}
    assert scene.started() in ([0, 5], [0, 4])  # the signal may come before the fifth checkpoint is whole


def test_killed_runner_and_lifeline(scene: Scene) -> None:
    """Then nobody is left who could end what the stage has started: the next run does."""
    scene.stage("sft", STEPS)
    run = psutil.Popen([scene.python, "-c", SUICIDE.replace("AT", "")], cwd=scene.folder, env=scene.env)
    until(scene.holds)
    lifeline = run.children()[0]
    stubborn = [
        process for process in lifeline.children(recursive=True) if "SIG_IGN" in " ".join(words_of(process))
    ]
    for process in (run, lifeline):
        process.kill()
    run.wait()
    assert len(stubborn) == 1
    until(lambda: [process.pid for process in scene.left()] == [stubborn[0].pid], 30)
    scene.go()
    assert scene.session("sft@sft").how == {"sft@sft": "run"}
    assert "ended 1 processes that a killed run had left behind" in scene.heard.said
    assert not stubborn[0].is_running()


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_between_the_command_and_the_record(scene: Scene, moment: str) -> None:
    scene.edit("pipelines/toy/supervised.py", "0.5", "0.25")
    assert scene.python_code(SUICIDE.replace("AT", MOMENTS[moment])) == -signal.SIGKILL
    assert scene.ran() == ["sft@sft"]
    assert scene.session("sft@sft").how.get("sft@sft", "keep") in ("recover", "restore", "keep")
    assert scene.ran() == []  # nothing was trained a second time
    assert not scene.broken_objects()
    assert "sft@sft" not in scene.plan("sft@sft")
    assert '"loss": 0.5' in (scene.folder / "models/sft/model/content.txt").read_text()
    assert not list((scene.folder / ".whetstone/work").glob(f"sft-{'?' * 16}/DONE.json"))


@pytest.mark.parametrize("moves", range(7))
def test_killed_between_two_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int) -> None:
    """However many of the renames were done: the result is published whole by the next start, or the older
    one still stands.
    """
    root, work = tmp_path / "root", tmp_path / "root/work"
    outs = ("models/sft/model", "metrics/sft.json", "models/sft/lineage.json")
    for base, text in ((root, "old"), (work / "outs", "new")):
        (base / outs[0]).mkdir(parents=True)
        (base / outs[0] / "weights").write_text(text)
        for out in outs[1:]:
            (base / out).parent.mkdir(parents=True, exist_ok=True)
            (base / out).write_text(text)
    publish.mark_done(work, outs)

    class Killed(BaseException):
        pass

    left, replace = [moves], os.replace

    def dying(source: object, target: object) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1
        replace(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(publish.os, "replace", dying)
    try:
        publish.publish(work, root)
    except Killed:
        assert not publish.published(work, root, outs)
    monkeypatch.setattr(publish.os, "replace", replace)
    assert publish.publishable(work, root)
    publish.publish(work, root)
    assert publish.published(work, root, outs)
    assert {(root / out).read_text() for out in outs[1:]} == {"new"}
    assert (root / outs[0] / "weights").read_text() == "new"
