"""Running one command under a lifeline: its output goes to a bounded log and to callbacks, its time is
limited, and its process tree can be stopped.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.running import leftovers
from pipelines.printable import printable
from tasks.stage import PROGRESS

# one log file; the previous one is kept beside it, so the first lines may go but the last never do
LOG_BYTES = 8 << 20
LINE_BYTES = 64 << 10  # a longer line is cut into pieces
TAIL_LINES = 200  # the last ones, in which the cause of a failure is looked for
WATCHED_LINES = 2000  # lines handed on per command; all of them are in the log file


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, and why it was stopped ("cancelled", "timed out") if it was."""

    code: int
    stopped: str = ""
    seconds: float = 0.0
    tail: tuple[str, ...] = ()


class BoundedLog:
    """Append lines to a file of at most LOG_BYTES; when it is full it becomes `.1` and a new one begins."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = open(path, "ab", buffering=0)
        self._size = self._stream.tell()
        self._broken = ""

    def write(self, data: bytes) -> None:
        if self._stream.closed:
            return  # something outlived the command and still writes
        try:
            self._size += self._stream.write(data)
            if self._size > LOG_BYTES:
                os.replace(self.path, self.path.with_name(self.path.name + ".1"))
                self._stream.close()
                self._stream, self._size = open(self.path, "ab", buffering=0), 0
        except OSError as error:  # a full disk must not block the command's output, or it would hang
            if not self._broken:
                self._broken = str(error)
                print(f"{self.path}: {error}; the log is incomplete", file=sys.stderr)

    def close(self) -> None:
        self._stream.close()


def _progress(text: str) -> dict[str, Any]:
    """Returns the numbers of a progress row; {} for an invalid row, which then counts as an ordinary line."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return (
        {printable(name): value for name, value in row.items() if _shown(name, value)}
        if isinstance(row, dict)
        else {}
    )


def _shown(name: str, value: Any) -> bool:
    """Returns whether a value may be shown. A loss may be NaN; a count may not, since displays divide by
    it.
    """
    if value is None or not isinstance(value, (int, float)):
        return value is None
    return abs(value) < 1e15 or (value != value and name not in ("done", "total", "left_s"))


class Command:
    """A running command. `on_line` gets its lines, `on_progress` its progress rows
    (`tasks.stage.PROGRESS`).
    """

    def __init__(
        self,
        argv: list[str],
        cwd: Path,
        env: Mapping[str, str],
        log: Path,
        grace: float,
        on_line: Callable[[str], None],
        on_progress: Callable[[dict[str, Any]], None],
    ):
        lifeline = [
            sys.executable,
            "-S",
            "-E",
            str(Path(__file__).with_name("lifeline.py")),
            str(grace),
            "--",
        ]
        self.grace, self._spec = grace, env.get(leftovers.VARIABLE)
        self.process = subprocess.Popen(
            lifeline + argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._log, self._on_line, self._on_progress = BoundedLog(log), on_line, on_progress
        self._tail: collections.deque[str] = collections.deque(maxlen=TAIL_LINES)
        self._pump_thread = threading.Thread(target=self._pump, daemon=True)
        self._pump_thread.start()

    def _pump(self) -> None:
        assert self.process.stdout is not None
        shown = 0
        while line := self.process.stdout.readline(LINE_BYTES):
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if text.startswith(PROGRESS) and (row := _progress(text[len(PROGRESS) :])):
                self._on_progress(row)
                continue
            self._log.write(line)  # its bytes; people are told what is printable
            text = printable(text[:2000])
            self._tail.append(text)
            shown += 1
            if shown < WATCHED_LINES:
                self._on_line(text)
            elif shown == WATCHED_LINES:
                self._on_line(f"… further lines are only in {self._log.path}")

    def wait(self, cancel: threading.Event, timeout: float) -> Ended:
        """Wait for the end; stop the tree when `cancel` is set or after `timeout` seconds (0: no limit)."""
        started = time.monotonic()
        stopped = ""
        while True:
            try:
                code = self.process.wait(0.1)
                break
            except subprocess.TimeoutExpired:
                pass
            if cancel.is_set():
                stopped = "cancelled"
            elif timeout and time.monotonic() - started > timeout:
                stopped = f"timed out after {timeout:g} s"
            if stopped:
                code = self._stop()
                break
        if code < 0:
            self._sweep()
        self._pump_thread.join(5)
        self._log.close()
        return Ended(code, stopped, time.monotonic() - started, tuple(self._tail))

    def _stop(self) -> int:
        """Send SIGTERM to the lifeline, which stops the tree; if it does not end, send SIGKILL to its
        group.
        """
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(self.grace + 6)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()

    def _sweep(self) -> None:
        """End the processes that the lifeline supervised, after the lifeline itself was killed."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if self._spec:
            leftovers.end(Path(self._spec).parent)
