"""A run's name and what is left of it: in the terminal, in `status`, in Prefect and in MLflow."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from flows.graph.plan_rows import PlanRow
from flows.running import run_records
from flows.running.main_metrics import main_metrics
from flows.running.run_records import BadName, check_name, new_name
from tests.flows.accident import Scene
from tests.flows.toy import Project

SECRETS = ("hunter2", "abc123", "T0KEN")


def flow_run(project: Project, name: str) -> Any:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{project.folder}/.whetstone/mlflow.db")
    experiment = client.get_experiment_by_name("whetstone")
    (run,) = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    return experiment, run, Path(run.info.artifact_uri.removeprefix("file://"))


def test_a_run_has_one_name_and_leaves_recipe_report_samples_and_lineage_in_mlflow(project: Project):
    project.edit(
        "tasks/evaluate.py",
        "def run(stage):",
        "def run(stage):\n"
        "    facts = {'heldout': {'greedy': {'accuracy': 0.5}, 'sampled': {'accuracy': 0.25}}}\n"
        "    return emit(stage, facts)",
    )
    project.set("execution.data_mirror", "https://me:hunter2@host/x?token=abc123")
    done = project.call("run", "--name", "first.try", "-S", "sft.common.steps=999")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "run first.try" in done.stdout
    status = json.loads(project.call("status", "--json").stdout)
    assert (status["last"]["name"], status["last"]["outcome"]) == ("first.try", "done")
    assert status["last"]["metrics"]["grpo/accuracy.greedy"] == 0.5
    assert "last run first.try: done in" in project.call("status").stdout
    database = project.folder / ".whetstone/prefect/prefect.db"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        assert connection.execute("SELECT name FROM flow_run").fetchall() == [("first.try",)]

    experiment, run, artifacts = flow_run(project, "first.try")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {
        f"{model}/accuracy.{decoding}": value
        for model in ("sft", "grpo", "other")
        for decoding, value in (("greedy", 0.5), ("sampled", 0.25))
    }
    assert run.data.params["sft.common.steps"] == "999"
    assert "sft.common.steps 1000 -> 999" in run.data.tags["own"]
    assert "| sft@sft | run |" in run.data.tags["mlflow.note.content"]
    found = {path.relative_to(artifacts).as_posix() for path in artifacts.rglob("*") if path.is_file()}
    assert {
        "plan.json",
        "recipe/params.yaml",
        "recipe/resolved.yaml",
        "report/index.html",
        "samples/grpo.jsonl",
        "lineage/grpo.html",
        "lineage/sft.html",
    } <= found
    assert "lineage/base.html" not in found  # it was fresh
    assert "steps: 999" in (artifacts / "recipe/params.yaml").read_text()
    everything = "".join(path.read_text("utf-8") for path in artifacts.rglob("*") if path.is_file())
    assert not [secret for secret in SECRETS if secret in everything + str(run.data)]

    project.set("report.samples", 2)
    again = project.run("report", "--name", "first.try")
    assert again["run"] == "first.try-2"
    _, run, _ = flow_run(project, "first.try-2")  # what stayed fresh counts as well
    assert run.data.metrics["sft/accuracy.sampled"] == 0.25


def test_a_name_that_no_file_or_ref_can_have_is_refused_before_anything_is_written(graph: Project):
    before = (graph.folder / "params.yaml").read_text()
    done = graph.call("run", "--name", "../x", "-S", "sft.common.steps=999")
    assert done.returncode == 2
    assert "--name '../x'" in done.stderr
    assert (graph.folder / "params.yaml").read_text() == before


@pytest.mark.parametrize(
    "name", ["", ".a", "-a", "a..b", "a.", "a.lock", "a b", "a/b", "ä", "a\n", "{x}", "a" * 81]
)
def test_bad_names(name: str):
    with pytest.raises(BadName):
        check_name(name)


def test_names_follow_the_recipe_and_are_unique(tmp_path: Path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/.applied.yaml").write_text("recipe: a b+{c}\n")
    name = new_name(tmp_path)
    assert name.startswith("a-b-c-2")
    check_name(name)
    for expected in ("mine", "mine-2", "mine-3"):
        assert new_name(tmp_path, "mine") == expected
        run_records.RunRecord.begin(tmp_path, expected, [], []).write(tmp_path)


def test_a_failed_run_says_so_without_secrets(scene: Scene):
    scene.stage("sft", "def run(stage):\n    raise ValueError('https://me:hunter2@host/')\n")
    scene.session("evaluate@sft")
    last = run_records.last(scene.folder)
    assert last is not None
    assert last["outcome"] == "failed"
    assert {name: stage["ended"] for name, stage in last["stages"].items()} == {
        "sft@sft": "failed",
        "evaluate@sft": "skipped",
    }
    assert "https://me:***@host/" in last["stages"]["sft@sft"]["error"]


@pytest.mark.parametrize(
    ("report", "figures", "metrics"),
    [
        ("reward_models", {"accuracy": {"share": 0.7}}, {"m/pair_accuracy": 0.7}),
        ("verifiers", {"arms": {"model": {"seen": {"accuracy": 1}}}}, {"m/agreement.model": 1.0}),
        (
            "matches",
            {"matches": [{"first": "a", "second": "b", "win": {"share": 0.6}, "lose": {"share": 0.1}}]},
            {"m/a.win.b": 0.6, "m/a.lose.b": 0.1},
        ),
        (
            "policies",
            {"length": 3, "reward": {"mean": 2.0}, "model": "x", "cost": None},
            {"m/length": 3.0, "m/reward": 2.0},
        ),
        ("accuracy", {"heldout": {"greedy": None}}, {}),
        ("accuracy", ["no mapping"], {}),
        ("fine_tuning", {"final_loss": 1.0}, {}),
    ],
)
def test_main_figures(tmp_path: Path, report: str, figures: Any, metrics: dict[str, float]):
    (tmp_path / "metrics/kind").mkdir(parents=True)
    (tmp_path / "metrics/kind/m.json").write_text(json.dumps(figures))
    rows = [
        PlanRow("kind@m", "keep", meta={"report": report}),
        PlanRow("kind@gone", "keep", meta={"report": report}),
    ]
    assert main_metrics(tmp_path, rows) == metrics
