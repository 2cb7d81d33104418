"""DVC typed by hand and the runner always agree: after either, the other finds nothing to do; a clone needs
only a pull.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.flows.toy import Project, method

UP_TO_DATE = "Data and pipelines are up to date."


def test_after_a_run_dvc_finds_nothing_to_do(graph: Project):
    graph.set("rl.methods.other.max_error_share", 0.1)
    graph.bring()
    graph.ran()
    assert UP_TO_DATE in graph.dvc("status").stdout
    done = graph.dvc("repro")
    assert done.returncode == 0
    assert graph.ran() == []
    assert UP_TO_DATE in done.stdout


def test_after_a_repro_by_hand_the_plan_is_empty(graph: Project):
    graph.set("rl.methods.other.max_error_share", 0.1)
    assert (
        "modified:           params.yaml" in graph.dvc("status").stdout
    )  # of the stage `code`, which reads it
    assert set(graph.plan()) == method("other")  # code.lock.json is made anew
    assert "rl@other" in graph.dvc("status").stdout
    assert graph.dvc("repro").returncode == 0
    assert set(graph.ran()) == method("other")
    assert graph.plan() == {}
    assert graph.bring() == {}
    assert graph.ran() == []


def test_a_repro_by_hand_sees_edited_code(graph: Project):
    graph.edit("pipelines/toy/loss.py", "x / 2", "x / 3")
    done = graph.dvc("repro", "rl@other")
    assert done.returncode == 0, done.stderr
    assert graph.ran() == ["rl@other"]
    assert graph.plan("rl@other") == {}


def test_one_stage_by_hand_for_debugging(graph: Project):
    done = graph.python_call("-m", "tasks", "sft@sft")
    assert done.returncode == 0, done.stderr
    assert graph.ran() == ["sft@sft"]
    # it recorded nothing, and its lineage.json tells of another run than the recorded one
    assert graph.plan() == {"sft@sft": "checkout"}
    assert graph.bring() == {"sft@sft": "restore"}
    assert graph.ran() == []


def test_a_fresh_clone_pulls_and_trains_nothing(graph: Project, tmp_path: Path):
    before = (graph.folder / "models/other/model/content.txt").read_text()
    assert graph.dvc("remote", "add", "-d", "store", str(tmp_path / "store")).returncode == 0
    pushed = graph.dvc("push", "--run-cache")
    assert pushed.returncode == 0, pushed.stderr
    graph.git("add", "-A")
    graph.git("commit", "-qm", "trained")
    folder = tmp_path / "elsewhere" / "clone"
    subprocess.run(["git", "clone", "-q", str(graph.folder), str(folder)], check=True, env=graph.env)
    clone = Project(folder, graph.python)
    (folder / ".whetstone").mkdir(exist_ok=True)
    (folder / ".whetstone/bring.py").write_text((graph.folder / ".whetstone/bring.py").read_text())
    pulled = clone.dvc("pull", "--run-cache")
    assert pulled.returncode == 0, pulled.stderr
    assert clone.plan() == {}
    assert clone.bring() == {}
    assert (folder / "models/other/model/content.txt").read_text() == before
    assert (folder / "metrics/evaluate/other.json").exists()
    assert clone.ran() == []
    assert UP_TO_DATE in clone.dvc("status").stdout


def test_a_fresh_clone_without_a_pull_says_that_it_has_to_train(graph: Project, tmp_path: Path):
    graph.git("add", "-A")
    graph.git("commit", "-qm", "trained")
    folder = tmp_path / "elsewhere" / "clone"
    subprocess.run(["git", "clone", "-q", str(graph.folder), str(folder)], check=True, env=graph.env)
    clone = Project(folder, graph.python)
    planned = clone.plan()
    assert planned["corpus@exam"] == "run"
    assert "keep" not in planned.values()
