"""What must hold before anything else: Prefect's server can be imported, reading the plan loads nothing
heavy, every command explains itself.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from flows.cli import app
from tests.flows.toy import Project

HEAVY = {"prefect", "torch", "transformers", "mlflow", "datasets", "fastapi"}
COMMANDS = ("plan", "run", "status", "lineage", "audit", "report", "ui", "serve", "doctor", "use")


def imported(project: Project, *words: str) -> set[str]:
    """Top-level packages that `whetstone …` loads."""
    done = project.python_call("-X", "importtime", "-m", "flows", *words)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    names = {
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert "dvc.repo" in names, "the list of imports was not understood"
    return {name.partition(".")[0] for name in names}


def test_prefects_server_can_be_imported():
    done = subprocess.run(
        [sys.executable, "-c", "import prefect.server.api.server"],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr


def test_prefects_scheduler_can_write_what_it_schedules():
    """Prefect 3.8 on SQLAlchemy 2.1 raises InvalidRequestError for every bulk insert of its scheduler:
    nothing is ever scheduled, silently.
    """
    assert version("sqlalchemy").startswith("2.0.")


@pytest.mark.parametrize("words", [("plan",), ("run",), ("status",)], ids=" ".join)
def test_what_starts_nothing_loads_nothing_heavy(project: Project, words: tuple[str, ...]):
    assert imported(project, *words) & HEAVY == set()


def test_a_plan_with_work_loads_nothing_heavy_either(project: Project):
    project.set("identity.seed", 3)
    assert imported(project, "plan") & HEAVY == set()


def test_every_command_is_listed():
    text = CliRunner().invoke(app, ["--help"]).output
    assert [name for name in COMMANDS if name not in text] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str):
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "160", "TERM": "dumb"})
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"whetstone {command}" in result.output


@pytest.mark.slow
def test_ui_brings_up_both_pages(project: Project):
    from flows.running.prefect_server import free_port

    done = project.call("ui", "--check", "--port", str(max(1024, free_port() - 1)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MLflow" in done.stdout
    assert "Prefect" in done.stdout
