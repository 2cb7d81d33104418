"""`whetstone run` through a real Prefect server: states, artifacts, order, failures, and what the next run
does.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.prefect_api import served
from tests.flows.toy import ALL, Project


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect server that lives as long as this module's tests."""
    home = tmp_path_factory.mktemp("prefect")
    with served(home, ui=True) as url:
        yield url


def ask(api: str, path: str, **body: Any) -> Any:
    """POST `body`, or GET without one; a 503 (the server's SQLite was locked) is asked again, as Prefect's
    own client does.
    """
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(f"{api}/{path}", data, {"Content-Type": "application/json"})
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=90) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as refused:
            if refused.code != 503 or time.monotonic() > end:
                raise
        time.sleep(0.5)


def last_run(api: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The newest flow run and its task runs by name."""
    flow = ask(api, "flow_runs/filter", sort="START_TIME_DESC", limit=1)[0]
    tasks = ask(api, "task_runs/filter", flow_runs={"id": {"any_": [flow["id"]]}})
    return flow, {task["name"]: task for task in tasks}


def ended(stages: dict[str, Any], how: str) -> set[str]:
    return {name for name, stage in stages.items() if stage["ended"] == how}


def test_a_run_shows_in_prefect_and_going_back_restores(project: Project, api: str):
    project.set("sft.common.steps", 999)
    ran = project.run(PREFECT_API_URL=api)
    assert ran["ok"]
    executed = ended(ran["stages"], "run")
    assert executed == ALL - {"corpus@exam", "base@base"} == set(project.ran())
    flow, tasks = last_run(api)
    assert flow["state_type"] == "COMPLETED"
    assert {name: task["state"]["name"] for name, task in tasks.items()} == {
        n: "Completed" if n in executed else "Cached" for n in ALL
    }
    assert "gpu" in tasks["sft@sft"]["tags"]
    assert tasks["sft@sft"]["end_time"] <= tasks["rl@grpo"]["start_time"]
    starts, ends = (
        [tasks[f"rl@{n}"]["start_time"] for n in ("grpo", "other")],
        [tasks[f"rl@{n}"]["end_time"] for n in ("grpo", "other")],
    )
    assert max(starts) < min(ends), "independent stages did not run at the same time"
    found = {
        artifact["key"]: artifact
        for artifact in ask(api, "artifacts/filter", flow_runs={"id": {"any_": [flow["id"]]}})
    }
    assert {"plan", "report", "progress-sft-sft", "progress-rl-grpo"} <= set(found)
    rows = {row["stage"]: row for row in json.loads(found["plan"]["data"])}
    assert rows["sft@sft"] == {
        "stage": "sft@sft",
        "action": "run",
        "why": "param sft.runs.sft.steps 1000 -> 999",
    }
    assert "# report" in found["report"]["data"]
    logged = ask(api, "logs/filter", logs={"flow_run_id": {"any_": [flow["id"]]}}, limit=200)
    assert any("param sft.runs.sft.steps 1000 -> 999" in line["message"] for line in logged)
    assert (project.folder / "reports/index.html").exists()
    drawn = json.loads((project.folder / ".whetstone/graph.json").read_text("utf-8"))  # what the report draws
    assert set(drawn) == ALL
    assert "base@base" in drawn["sft@sft"]
    assert project.plan() == {}

    project.set("sft.common.steps", 1000)
    back = project.run(PREFECT_API_URL=api)
    assert ended(back["stages"], "restore") == executed
    assert project.ran() == []
    _, tasks = last_run(api)
    assert {name for name, task in tasks.items() if task["state"]["name"] == "Restored"} == executed


def test_a_failed_stage_fails_only_what_needs_it_and_the_next_run_picks_up_there(project: Project, api: str):
    project.set("identity.seed", 5)
    project.edit(
        "pipelines/toy/far.py",
        "    return inner(x) + 1",
        "    return inner(x) + 1 if __import__('os').path.exists('open') else 1 / 0",
    )
    project.edit(
        "tasks/rl.py",
        "def run(stage):",
        "def run(stage):\n    if stage.item == 'grpo':\n        return emit(stage, {'seed': stage.seed})",
    )
    ran = project.run(PREFECT_API_URL=api, expect=1)
    assert not ran["ok"]
    assert ended(ran["stages"], "failed") == {"rl@other"}
    assert ended(ran["stages"], "skipped") == {"evaluate@other", "report"}
    assert ended(ran["stages"], "run") == ALL - {"rl@other", "evaluate@other", "report"}
    assert "ZeroDivisionError" in ran["stages"]["rl@other"]["error"]
    flow, tasks = last_run(api)
    assert flow["state_type"] == "FAILED"
    assert "rl@other" in flow["state"]["message"]
    assert tasks["rl@other"]["state_type"] == "FAILED"
    assert tasks["evaluate@grpo"]["state_type"] == "COMPLETED"
    project.ran()
    (project.folder / "open").touch()
    again = project.run(PREFECT_API_URL=api)
    assert ended(again["stages"], "run") == {"rl@other", "evaluate@other", "report"} == set(project.ran())


def test_a_run_without_a_server_brings_its_own_and_takes_it_away(project: Project):
    project.set("report.samples", 2)
    ran = project.run()
    assert ended(ran["stages"], "run") == {"report"}
    text = (project.folder / ".whetstone/logs/prefect-server.log").read_text()
    assert "Traceback" not in text
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and _belongs(pid, project.folder)]


def _belongs(pid: str, folder: Path) -> bool:
    """Whether a living process works in the project or keeps Prefect's database there."""
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
        return os.readlink(f"/proc/{pid}/cwd").startswith(str(folder)) or f"PREFECT_HOME={folder}" in environ
    except OSError:
        return False


@pytest.mark.slow
def test_serve_carries_out_a_hand_triggered_and_a_scheduled_run(project: Project, api: str):
    serving = project.start(
        "-m",
        "flows",
        "serve",
        "--name",
        "nightly",
        "--interval",
        "15",
        "--target",
        "report",
        PREFECT_API_URL=api,
    )
    try:
        deployment = wait_for(lambda: named(api, "nightly"), serving)
        assert deployment["schedules"][0]["schedule"]["interval"] == 15
        project.set("report.samples", 2)
        by_hand = ask(api, f"deployments/{deployment['id']}/create_flow_run", name="by-hand")["id"]
        assert final_state(api, by_hand, serving) == "COMPLETED"
        assert project.ran() == ["report"]
        assert project.plan() == {}
        project.set("report.samples", 4)
        assert wait_for(project.ran, serving) == ["report"]  # nobody asked for this run but the schedule
        assert wait_for(lambda: project.plan() == {}, serving)
    finally:
        serving.terminate()
        serving.communicate(timeout=60)


def named(api: str, name: str) -> dict[str, Any] | None:
    found = ask(api, "deployments/filter", deployments={"name": {"any_": [name]}})
    return found[0] if found else None


def final_state(api: str, run: str, serving: subprocess.Popen[str]) -> str:
    def state() -> str | None:
        kind = ask(api, f"flow_runs/{run}")["state_type"]
        return kind if kind in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

    return wait_for(state, serving)


def wait_for(found: Any, serving: subprocess.Popen[str], limit: float = 180) -> Any:
    end = time.monotonic() + limit
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        assert serving.poll() is None, serving.communicate()
        time.sleep(0.3)
    raise AssertionError("nothing came of it in time")


def test_serve_without_a_server_says_so(project: Project):
    done = project.call("serve")
    assert done.returncode == 2
    assert "PREFECT_API_URL is not set" in done.stderr
