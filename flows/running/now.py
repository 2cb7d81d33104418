"""What the current or latest run does: .whetstone/now.json, written at most once a second, for `whetstone
status` in another terminal and for the live report. It stays when the run has ended, and says how.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.running.live import Display
from flows.workspace import STATE, read_json, write_json
from tasks.tracking_records import Owner

FILE = "now.json"
PERIOD_S = 1.0
SAID = 20  # the last messages are kept


class Noted:
    """A display that also writes the events to now.json, once `plan` has said what the run is to do."""

    def __init__(self, display: Display, root: Path, run: str):
        self._display, self._path = display, root / STATE / FILE
        self._lock = threading.Lock()
        self._stages: dict[str, dict[str, Any]] = {}  # those that run
        self._said: list[str] = []
        self._record: dict[str, Any] = {"run": run, "since": time.time(), "plan": [], "ended": {}, "work": {}}
        self._written, self._planned, self._closed = 0.0, False, False
        self._later: threading.Timer | None = None

    def plan(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Begin the record: the stages of the plan as {"stage", "action", "reasons", …}, upstream first."""
        with self._lock:
            self._record |= {"plan": list(rows), "owner": Owner.this().tags()}
            self._planned = True
            self._note()

    def started(self, stage: str, why: str, work: str = "", outs: Sequence[str] = ()) -> None:
        """`work`: where the stage writes its curve while it runs; `outs`: what it will have made."""
        self._display.started(stage, why)
        with self._lock:
            self._record["work"][stage] = {"folder": work, "outs": list(outs)}
            self._stages[stage] = {"since": time.time(), "why": why}
            self._note()

    def progress(self, stage: str, row: dict[str, Any]) -> None:
        self._display.progress(stage, row)
        with self._lock:
            self._stages[stage] = {**self._stages.get(stage, {}), "progress": row, "at": time.time()}
            self._note(PERIOD_S)

    def line(self, stage: str, text: str) -> None:
        self._display.line(stage, text)

    def ended(self, stage: str, how: str, seconds: float, detail: str = "") -> None:
        self._display.ended(stage, how, seconds, detail)
        with self._lock:
            self._stages.pop(stage, None)
            self._record["ended"][stage] = {"how": how.lower(), "seconds": seconds, "detail": detail}
            self._note()

    def say(self, text: str) -> None:
        self._display.say(text)
        with self._lock:
            self._said = [*self._said, text][-SAID:]
            self._note(PERIOD_S)

    def _note(self, period: float = 0.0) -> None:
        """Write the record, at most once a period; hold the lock."""
        if self._closed or not self._planned or self._later is not None:
            return
        wait = self._written + period - time.time()
        if wait <= 0:
            self._write()
        else:  # what is told last is written too
            self._later = threading.Timer(wait, self._flush)
            self._later.daemon = True
            self._later.start()

    def _flush(self) -> None:
        with self._lock:
            self._later = None
            if not self._closed:
                self._write()

    def _write(self) -> None:
        self._written = time.time()
        with contextlib.suppress(OSError):  # a full disk: the run itself is what matters
            write_json(self._path, {**self._record, "said": self._said, "stages": self._stages})

    def close(self, how: str) -> None:
        """End the record: the run is "done", "failed" or "stopped"."""
        with self._lock:
            if self._planned and not self._closed:
                self._record |= {"closed": how, "until": time.time()}
                self._write()
            self._closed = True


def latest(root: Path) -> dict[str, Any]:
    """Returns the record of the current or latest run: {"run", "since", "owner", "plan", "stages": {name:
    {"since", "why", "progress"}}, "ended": {name: {"how", "seconds", "detail"}}, "work": {name: {"folder",
    "outs"}}, "said"}, and {"closed", "until"} once it has ended by itself. {} where there is none.
    """
    content = read_json(root / STATE / FILE)
    return content if isinstance(content, dict) and "plan" in content else {}


def state(record: Mapping[str, Any]) -> str:
    """Returns "running", "done", "failed", "stopped", or "died" for a run that ended without saying how; ""
    of an empty record.
    """
    if not record:
        return ""
    owner = Owner.of(record["owner"])
    return str(record.get("closed") or ("died" if owner is None or owner.is_gone() else "running"))


def running(root: Path, run: str) -> dict[str, Any]:
    """Returns {"since": …, "stages": {name: {"since", "why", "progress"}}} of the run; {} when it has written
    nothing.
    """
    record = latest(root)
    return {name: record[name] for name in ("run", "since", "stages")} if record.get("run") == run else {}
