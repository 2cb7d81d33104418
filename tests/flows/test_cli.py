"""The command line: exit codes that mean something, JSON for programs, errors with a way out."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.flows.toy import ALL, Project


def test_plan_prints_a_row_per_stage_and_the_counts(graph: Project):
    graph.set("rl.methods.other.max_error_share", 0.1)
    text = graph.call("plan").stdout
    assert "param rl.runs.other.max_error_share" in text
    assert "upstream will run: models/other/model" in text
    assert "6 fresh  1 to run  2 to run unless its inputs come out the same" in text


def test_plan_as_json_has_what_a_program_wants(graph: Project):
    found = json.loads(graph.call("plan", "--json").stdout)
    assert found["stale"] == 0
    assert {row["stage"] for row in found["stages"]} == ALL
    assert set(found["stages"][0]) == {"stage", "action", "reasons", "notes", "upstream"}


def test_plan_of_a_target_holds_what_it_needs_and_no_more(graph: Project):
    names = [row["stage"] for row in graph.plan_rows("rl")]
    assert names == ["corpus@exam", "base@base", "sft@sft", "rl@grpo", "rl@other"]


def test_a_run_without_work_is_done_at_once(graph: Project):
    done = graph.call("run")
    assert done.returncode == 0
    assert "nothing is stale: 9 stages are fresh" in done.stdout
    assert not (graph.folder / ".whetstone/logs/prefect-server.log").exists()


@pytest.mark.parametrize("command", ["plan", "run"])
def test_an_unknown_stage_is_bad_usage_with_the_nearest(graph: Project, command: str):
    done = graph.call(command, "rl@gpro")
    assert done.returncode == 2
    assert "no stage rl@gpro; did you mean rl@grpo" in done.stderr
    as_json = graph.call(command, "rl@gpro", "--json")
    assert as_json.returncode == 2
    assert json.loads(as_json.stdout)["ok"] is False


@pytest.mark.parametrize(
    "words", [["plan", "--jsn"], ["run", "--jobs", "many"], ["nothing"], ["lineage"]], ids=" ".join
)
def test_bad_usage_is_2(graph: Project, words: list[str]):
    assert graph.call(*words).returncode == 2


def test_outside_of_a_project_the_way_out_is_said(graph: Project, tmp_path: Path):
    done = subprocess.run(
        [graph.python, "-m", "flows", "plan"],
        cwd=tmp_path,
        env={**graph.env, "PYTHONPATH": str(graph.folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "run this inside a clone of the project" in done.stderr


def test_a_command_works_from_a_folder_of_the_project(graph: Project):
    done = subprocess.run(
        [graph.python, "-m", "flows", "plan", "--json"], cwd=graph.folder / "pipelines", env={**graph.env, "PYTHONPATH": str(graph.folder)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["stale"] == 0


def test_status_counts_and_names_what_is_stale(graph: Project):
    assert "9 fresh" in graph.call("status").stdout
    graph.set("report.samples", 2)
    found = json.loads(graph.call("status", "--json").stdout)
    assert found["recipe"] == "default"
    assert found["stages"] == {"keep": 8, "run": 1}
    assert found["stale"] == ["report"]
    assert found["running"] is None
    assert found["timings"]["sft@sft"]["action"] == "run"


def test_report_says_where_it_lies_and_whether_it_is_fresh(graph: Project):
    found = json.loads(graph.call("report", "--json").stdout)
    assert found["fresh"] is True
    assert Path(found["page"]).exists()
    graph.set("report.samples", 2)
    assert "stale" in graph.call("report").stdout
    shutil.rmtree(graph.folder / "reports")
    done = graph.call("report")
    assert done.returncode == 1
    assert "whetstone run" in done.stderr


def test_use_names_the_nearest_recipe(graph: Project):
    (graph.folder / "recipes").mkdir(exist_ok=True)
    (graph.folder / "recipes/gsm8k_small.yaml").write_text("sft: {steps: 3}\n")
    done = graph.call("use", "gsm8k_smal")
    assert done.returncode == 2
    assert "did you mean gsm8k_small?" in done.stderr


def test_a_dvc_lock_that_cannot_be_read_is_said_with_the_way_out(graph: Project):
    (graph.folder / "dvc.lock").write_text("stages: [")
    done = graph.call("plan")
    assert done.returncode == 1
    assert "`whetstone run` moves it aside" in done.stderr
