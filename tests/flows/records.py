"""How Prefect's and MLflow's own stores say that runs ended, read from their sqlite files."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path


def _rows(path: Path, query: str) -> list[tuple[str, ...]]:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def prefect_flows(folder: Path) -> list[str]:
    """State types of the flow runs, oldest first."""
    return [
        row[0]
        for row in _rows(
            folder / ".whetstone/prefect/prefect.db",
            "SELECT state_type FROM flow_run ORDER BY start_time, created",
        )
    ]


def prefect_tasks(folder: Path) -> set[str]:
    """State types of all task runs."""
    return {
        row[0] for row in _rows(folder / ".whetstone/prefect/prefect.db", "SELECT state_type FROM task_run")
    }


def mlflow_runs(folder: Path) -> list[tuple[str, str]]:
    """(name, status) of the runs, oldest first; the name of a flow's run is "flow"."""
    rows = _rows(
        folder / ".whetstone/mlflow.db",
        "SELECT CASE value WHEN 'flow' THEN 'flow' ELSE name END, status FROM runs JOIN tags"
        " ON tags.run_uuid = runs.run_uuid AND tags.key = 'kind' ORDER BY start_time",
    )
    return [(name, status) for name, status in rows]
