"""`whetstone doctor`: check what Whetstone needs; each finding says how to fix what does not work."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from flows import configured_run, raw_data, reward_trial
from flows.configured_run import Finding
from flows.prose_rows import Row, print_prose_rows
from flows.running.headline import cause
from flows.workspace import STATE
from tasks.tracking_records import public

LEAST_FREE_GB = 5
LONGEST = 400  # characters of a rendered row that are shown
NO_ROOM_GB = 0.5  # a run that records anything fails below this


def examine(root: Path) -> list[Finding]:
    """Returns all findings, the most important first."""
    checks: list[Callable[[Path], Iterator[Finding]]] = [
        _python,
        _packages,
        _git,
        _params,
        raw_data.examine,
        _templates,
        _servers,
        _torch,
        _disk,
    ]
    findings = [finding for check in [*checks, configured_run.examine] for finding in check(root)]
    return (
        findings
        if any(finding.what == "sandbox" for finding in findings)
        else [*findings, *configured_run.sandbox(needed=False)]
    )


def _python(root: Path) -> Iterator[Finding]:
    ok = (3, 11) <= sys.version_info < (3, 13)
    yield Finding(
        "python", ok, f"{sys.version.split()[0]} at {sys.executable}", "make PYTHON=/path/to/python3.11"
    )


def _packages(root: Path) -> Iterator[Finding]:
    path = root / "requirements.lock"
    pinned = (
        dict(
            line.split("==")
            for line in path.read_text("utf-8").splitlines()
            if "==" in line and not line.startswith("#")
        )
        if path.exists()
        else {}
    )
    differing = []
    for name, expected in pinned.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "absent"
        if installed.split("+")[0] != expected.split("+")[0]:
            differing.append(f"{name} {installed} (lock: {expected})")
    message = (
        f"{len(pinned)} packages as in requirements.lock"
        if not differing
        else ", ".join(differing[:5]) + (f" and {len(differing) - 5} more" if len(differing) > 5 else "")
    )
    yield Finding(
        "packages",
        not differing,
        message,
        "make clean-venv && make test, or go on with other versions at your own risk",
        needed=False,
    )
    try:
        dvc = version("dvc")
    except PackageNotFoundError:
        dvc = "absent"
    yield Finding(
        "dvc", dvc.startswith("3.67."), dvc, "pip install 'dvc==3.67.*': private calls of it are used"
    )


def _git(root: Path) -> Iterator[Finding]:
    process = (
        subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--show-toplevel"], capture_output=True, text=True
        )
        if shutil.which("git")
        else None
    )
    ok = process is not None and process.returncode == 0
    message = (
        process.stdout.strip()
        if ok and process
        else "no git repository here"
        if process
        else "git is not installed"
    )
    yield Finding(
        "git", ok, message, "install git and run `git init`: lineage keeps each run's source state there"
    )


def _params(root: Path) -> Iterator[Finding]:
    from flows.graph.params import load
    from flows.graph.params_file import ParamsError

    try:
        params = load(root)
    except ParamsError as error:
        yield Finding("params.yaml", False, "; ".join(error.problems), "correct the keys that are named")
        return
    yield Finding("params.yaml", True, "every value is known and in range")
    for trial in reward_trial.trials(root, params):
        remedy = "mend the function: `whetstone judge PATH FILE` says what it gives"
        yield Finding("reward", not trial.fault, trial.sentence, remedy)


def _templates(root: Path) -> Iterator[Finding]:
    """Yields the first row of each existing data set as its template renders it, with the trained tokens
    between [[ and ]].
    """
    from flows.graph.params_file import PARAMS, ParamsError, read_yaml
    from flows.graph.references import stages
    from flows.show import NothingToShow, show

    try:
        graph = stages(read_yaml(root / PARAMS), root)
    except ParamsError:
        return
    for subject in (stage.name for stage in graph if any(out.endswith("/records") for out in stage.outs)):
        try:
            row = show(root, subject, 0)
        except NothingToShow:
            continue  # it is not made yet
        except (OSError, ValueError) as error:
            yield Finding(
                f"template of {subject}", False, str(error), f"whetstone run {subject}", needed=False
            )
            continue
        if not row.sequences:
            continue  # no model is at hand that would render it
        text = json.dumps(row.sequences[0].marked, ensure_ascii=False)
        text = text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
        ends = ", ".join(token for _, token in row.stops)
        yield Finding(f"template of {subject}", True, f"{text}; a response ends with {ends}")


def _servers(root: Path) -> Iterator[Finding]:
    """Yields whether the servers of Prefect and MLflow can start. Prefect is imported in a process of its
    own, since an unsuitable fastapi breaks its import.
    """
    env = {**os.environ, "PREFECT_HOME": str(root / STATE / "prefect")}
    if url := os.environ.get("PREFECT_API_URL"):
        from flows.running.prefect_server import unanswered

        fault, shown = unanswered(url, 5), public({"url": url})["url"]
        remedy = "start that server, or unset PREFECT_API_URL: a run then starts one of its own"
        yield Finding(
            "PREFECT_API_URL", not fault, f"{shown}: {fault}" if fault else f"{shown} answers", remedy
        )
    process = subprocess.run(
        [sys.executable, "-c", "import prefect.server.api.server"], capture_output=True, text=True, env=env
    )
    message = (
        "its server can start"
        if process.returncode == 0
        else cause(process.stderr.splitlines()) or f"exit code {process.returncode}"
    )
    yield Finding(
        "prefect",
        process.returncode == 0,
        message,
        "pip install 'fastapi>=0.139,<0.151', or all of requirements.lock",
    )
    from tasks.tracking import Tracking

    yield from _databases(root)
    warned: list[str] = []
    tracking = Tracking(root, say=warned.append)
    tracking.heal()
    yield Finding(
        "mlflow",
        not warned,
        warned[0] if warned else tracking.store.shown,
        "see the message; runs go on without tracking",
        needed=False,
    )


def _databases(root: Path) -> Iterator[Finding]:
    """Yields the state of the two programs' database files below the project, without starting either
    program.
    """
    from tasks import database_file

    for name, path, schema in (
        ("prefect", "prefect/prefect.db", database_file.PREFECT),
        ("mlflow", "mlflow.db", database_file.MLFLOW),
    ):
        file, subject = root / STATE / path, f"{name}'s database"
        try:
            state = database_file.state(file, schema)
            user_rows = database_file.user_tables(file, schema) if state == "behind" else []
        except (sqlite3.Error, OSError) as error:
            yield Finding(
                subject,
                False,
                f"{file}: {error}",
                "end the process that holds it, or move the file away; the next run creates a new one",
                False,
            )
            continue
        if state == "behind":
            message = (
                "of another release" if user_rows else "half-made: its server was killed while it created it"
            )
            remedy = (
                "nothing to do: the next run migrates it and keeps the old file"
                if user_rows
                else "nothing to do: the next run creates it again"
            )
            yield Finding(subject, False, f"{file}: {message}", remedy, needed=False)
        else:
            yield Finding(subject, True, {"absent": "not there yet", "whole": "whole"}[state])


def _torch(root: Path) -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding("torch", False, str(error), "pip install torch==2.13.0")
        return
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Finding(
        "torch",
        True,
        f"{torch.__version__}, {torch.get_num_threads()} threads, "
        + (", ".join(gpus) or "no GPU: stages run on the CPU"),
    )


def _disk(root: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(root).free / 1e9
    remedy = "make room; `dvc gc --all-commits` drops results of no commit"
    yield Finding("disk", free > LEAST_FREE_GB, f"{free:.1f} GB free", remedy, needed=free < NO_ROOM_GB)


def print_findings(console: Console, findings: list[Finding]) -> None:
    rows = list[Row]()
    for finding in findings:
        mark = "[green]✓[/]" if finding.ok else "[red]✗[/]" if finding.needed else "[yellow]![/]"
        said = finding.said if finding.ok else f"{finding.said}\n  → {finding.mend}"
        rows.append((mark, escape(finding.what), escape(said)))
    print_prose_rows(console, rows, name=1)
