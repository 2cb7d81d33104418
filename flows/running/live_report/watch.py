"""Writes the live report again and again while a run goes on: soon after each change of a stage, and now and
then for its progress.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.running import now
from flows.running.live_report.figures import Figures
from flows.running.live_report.page import PERIOD_S, write

LOOK_S = 1.0  # how often the record is looked at for changes
DEATH_S = 5.0  # until a killed process is gone


def _asleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def watch(root: Path, closed_within: Callable[[float], bool] = _asleep) -> int:
    """Write the page until the run has ended, and then once more. `closed_within(seconds)` waits so long and
    returns whether the run's process has let go of us. Returns the exit code: 1 when a page could not be
    written, the first such error is on standard error.
    """
    figures, failed, closed = Figures(), 0, False
    while True:
        record = now.latest(root)
        over = now.state(record) != "running"
        try:
            write(root, figures=figures)
        # whatever it is, the next page may succeed; the run must not hear of it before its end
        except Exception:  # noqa: BLE001
            if not failed:
                traceback.print_exc(file=sys.stderr)
            failed = 1
        if over:
            return failed
        if closed:  # but the record says that it runs: it was killed, and may not be gone yet
            _until_over(root)
            continue
        closed = _wait(root, _events(record), closed_within)


def _events(record: dict[str, Any]) -> tuple[Any, ...]:
    return (record["run"], sorted(record["stages"]), sorted(record["ended"]), record.get("closed"))


def _wait(root: Path, events: tuple[Any, ...], closed_within: Callable[[float], bool]) -> bool:
    """Wait for a change of some stage, or for the period; returns whether the run's process has closed."""
    end = time.monotonic() + PERIOD_S
    while time.monotonic() < end:
        if closed_within(LOOK_S):
            return True
        record = now.latest(root)
        if not record or _events(record) != events or now.state(record) != "running":
            return False
    return False


def _until_over(root: Path) -> None:
    end = time.monotonic() + DEATH_S
    while time.monotonic() < end and now.state(now.latest(root)) == "running":
        time.sleep(0.1)
