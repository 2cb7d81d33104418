"""What runs at this moment, for `whetstone status` in another terminal: .whetstone/now.json, written at most
once a second.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Any

from flows.running.live import Display
from flows.workspace import STATE, read_json, write_json

FILE = "now.json"
PERIOD_S = 1.0


class Noted:
    """A display that also writes the events to now.json."""

    def __init__(self, display: Display, root: Path, run: str):
        self._display, self._path, self._run = display, root / STATE / FILE, run
        self._lock = threading.Lock()
        self._stages: dict[str, dict[str, Any]] = {}
        self._begun, self._written, self._closed = time.time(), 0.0, False
        self._later: threading.Timer | None = None

    def started(self, stage: str, why: str) -> None:
        self._display.started(stage, why)
        self._note(stage, {"since": time.time(), "why": why})

    def progress(self, stage: str, row: dict[str, Any]) -> None:
        self._display.progress(stage, row)
        self._note(stage, {**self._stages.get(stage, {}), "progress": row, "at": time.time()}, PERIOD_S)

    def line(self, stage: str, text: str) -> None:
        self._display.line(stage, text)

    def ended(self, stage: str, how: str, seconds: float, detail: str = "") -> None:
        self._display.ended(stage, how, seconds, detail)
        self._note(stage, None)

    def say(self, text: str) -> None:
        self._display.say(text)

    def _note(self, stage: str, facts: dict[str, Any] | None, period: float = 0.0) -> None:
        with self._lock:
            if facts is None:
                self._stages.pop(stage, None)
            else:
                self._stages[stage] = facts
            if self._closed or self._later is not None:
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
            write_json(self._path, {"run": self._run, "since": self._begun, "stages": self._stages})

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._path.unlink(missing_ok=True)


def running(root: Path, run: str) -> dict[str, Any]:
    """Returns {"since": …, "stages": {name: {"since", "why", "progress"}}} of the run; {} when it has written
    nothing.
    """
    content = read_json(root / STATE / FILE)
    return content if isinstance(content, dict) and content.get("run") == run else {}
