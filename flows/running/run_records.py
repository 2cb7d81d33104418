"""A run's name, the same wherever the run shows, and its record, .whetstone/runs/NAME.json: what `whetstone
status` tells of the last run, MLflow keeps, and a notification carries.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flows.graph import recipes
from flows.workspace import STATE, read_json, write_json

FOLDER = "runs"
RUNNING, DONE, FAILED, STOPPED, KILLED = "running", "done", "failed", "stopped", "killed"
# a folder of logs, a git ref and pages' addresses hold it as it is
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.|$|lock$)){0,79}")


class BadName(ValueError):
    """The name of a run cannot be one of a file or of a git ref."""


def check_name(name: str) -> None:
    """Raise BadName, which says what a name may hold."""
    if not _NAME.fullmatch(name):
        raise BadName(
            f"--name {name!r}: letters, digits, '-', '_' and single '.' are expected, a letter or digit "
            f"first, at most 80"
        )


def new_name(root: Path, wanted: str = "") -> str:
    """Returns the name of a run that begins now: `wanted`, or else RECIPE-DATE-TIME; with -2, -3, … where a
    run of this workspace has it already. Call it while holding the workspace. Raises BadName.
    """
    if wanted:
        check_name(wanted)
    recipe = re.sub(r"[^A-Za-z0-9_]+", "-", recipes.active(root)).strip("-_")[:40] or "run"
    name = wanted or f"{recipe}-{time.strftime('%Y%m%d-%H%M%S')}"
    number = 2
    chosen = name
    while _path(root, chosen).exists():
        chosen, number = f"{name}-{number}", number + 1
    return chosen


@dataclass(frozen=True)
class RunRecord:
    """What is known of a run. `own`: settings by which it differs from its recipe; `stages`: {name: {"ended",
    "seconds", "error"}} of those that were stale; `metrics`: main figures of the evaluations; `report` and
    `logs`: paths; `started`: seconds since 1970.
    """

    name: str
    recipe: str
    own: Sequence[str]
    targets: Sequence[str]
    project: str
    host: str
    started: float
    logs: str
    outcome: str = RUNNING
    seconds: float | None = None
    error: str | None = None
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    report: str | None = None

    @classmethod
    def begin(cls, root: Path, name: str, targets: Sequence[str], own: Sequence[str]) -> RunRecord:
        return cls(
            name,
            recipes.active(root),
            list(own),
            list(targets),
            root.name,
            socket.gethostname(),
            time.time(),
            str(root / STATE / "logs" / name),
        )

    def with_stages(self, stages: Mapping[str, Mapping[str, Any]]) -> RunRecord:
        return replace(self, stages=stages)

    def ended(self, outcome: str, **facts: Any) -> RunRecord:
        """Returns the record of the same run that ends now."""
        return replace(self, outcome=outcome, seconds=round(time.time() - self.started, 1), **facts)

    def as_json(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def write(self, root: Path) -> None:
        """Raises OSError where it cannot be written."""
        write_json(_path(root, self.name), self.as_json())


def mark_killed(root: Path, name: str) -> None:
    """Note in its record that a run did not end by itself. One that recorded nothing has no record."""
    record = read_json(_path(root, name))
    if isinstance(record, dict) and record.get("outcome") == RUNNING:
        write_json(_path(root, name), {**record, "outcome": KILLED})


def last(root: Path) -> dict[str, Any] | None:
    """Returns the record of the run that began last, None without any."""
    records = [read_json(path) for path in (root / STATE / FOLDER).glob("*.json")]
    known = [record for record in records if isinstance(record, dict) and "started" in record]
    return max(known, key=lambda record: record["started"], default=None)


def _path(root: Path, name: str) -> Path:
    return root / STATE / FOLDER / f"{name}.json"
