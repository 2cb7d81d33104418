"""Writers of curves beside MLflow, each a module NAME_writer.py with `open_writer(home) -> Writer`. Their
packages are optional, and imported when a run wants them (`execution.trackers`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Home:
    """Whose curves are written. `root`: the project's folder, `run`: the name of the whole run, `offline`:
    send nothing anywhere.
    """

    root: Path
    run: str
    offline: bool


class CurveWriter(Protocol):
    """Of one stage."""

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows {"step": int, name: number}; what is no number is left out."""

    def end(self, ok: bool, metrics: Mapping[str, float]) -> None:
        """Write the last figures and close. `ok`: the stage ended well."""


class Writer(Protocol):
    """Of one run. All may raise what its package raises."""

    place: str  # for people: where the curves are

    def open(self, stage: str, params: Mapping[str, Any]) -> CurveWriter:
        """Begin a stage's curves; `params` by dotted names, without secrets."""

    def close(self) -> None: ...


def open_writer(kind: str, home: Home) -> Writer:
    """Returns the writer of a tracker. Raises ImportError where its package is not installed."""
    writer: Writer = import_module(f"tasks.trackers.{kind}_writer").open_writer(home)
    return writer


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """Returns the numbers of a row by their names, without its step."""
    return {
        name: float(value)
        for name, value in row.items()
        if name != "step" and isinstance(value, (int, float)) and not isinstance(value, bool)
    }
