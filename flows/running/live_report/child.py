"""The process that a run starts to keep its live report: drawing figures takes seconds of a core, which the
run's own threads are not to wait for, and a page that another process writes can still say that the run was
killed.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from flows.running.headline import cause
from flows.running.live_report import location
from flows.workspace import STATE

DELAY_S = 3.0  # a run that is over by then has nothing to watch
PATIENCE_S = 15.0


class LiveReport:
    """Starts the process after a moment, and ends it with the run. Whatever goes wrong is said once, and
    concerns the page alone.

    The process has the lowest priority. Its standard input is a pipe that the run holds: end of file means
    that the run has ended, or was killed.
    """

    def __init__(self, root: Path, run: str, say: Callable[[str], None]):
        self._root, self._say = root, say
        self._log = root / STATE / "logs" / run / "live-report.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._timer = threading.Timer(DELAY_S, self._start)
        self._timer.daemon = True
        self._timer.start()

    def _start(self) -> None:
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with open(self._log, "wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "flows.running.live_report", str(self._root)],
                    cwd=self._root,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is for the run
                )
        except OSError as error:
            self._say(f"no live report: {error}")
            return
        self._say(f"live report: {location(self._root)}")

    def finish(self) -> None:
        """Let the process write the page for the last time; the run's record must be closed by now."""
        self._timer.cancel()
        self._timer.join()
        if self._process and self._process.stdin:
            self._process.stdin.close()

    def close(self) -> None:
        """Wait for the last page, a bounded time."""
        if self._process is None:
            return
        try:
            code = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code:
            self._say(f"the live report is not up to date: {self._reason()}; log: {self._log}")

    def _reason(self) -> str:
        try:
            lines = self._log.read_text("utf-8", "replace").splitlines()
        except OSError as error:
            return str(error)
        return cause(lines) or "it took too long"
