"""The notification of a run's end (`execution.notify`), sent by a process of its own (`notifier.py`), which a
killed runner leaves behind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flows.running.run_records import RunRecord
from flows.workspace import STATE
from tasks.execution_params import NotifyParams, is_address

NOTIFIER = Path(__file__).with_name("notifier.py")
START_S = 5.0  # for an interpreter on a busy machine


class Notification:
    """Of one run. What goes wrong is said, and fails no run."""

    def __init__(self, root: Path, run: str, params: NotifyParams, say: Callable[[str], None]):
        self._say, self._params = say, params
        self._lock = threading.Lock()  # stages end in threads of their own
        self._process: subprocess.Popen[str] | None = None
        whom = {
            "command": params.command,
            "url": self._url(),
            "timeout_s": params.timeout_s,
            "log": str(root / STATE / "logs" / run / "notify.log"),
        }
        if not (whom["command"] or whom["url"]):
            return
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-E", str(NOTIFIER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=root,
                text=True,
                start_new_session=True,
            )
        except OSError as error:
            self._say(f"execution.notify: {error}; nobody will be told")
            return
        self._write(whom)

    def _url(self) -> str | None:
        variable = self._params.url_variable
        if not variable:
            return self._params.url
        url = os.environ.get(variable, "")
        if is_address(url):
            return url
        wrong = "holds no http or https address" if url else "is not set"
        self._say(f"execution.notify.url_variable: {variable} {wrong}; no address will be told")
        return None

    def tell(self, record: RunRecord) -> None:
        """Hand over the record so far; one that has ended is sent."""
        self._write(record.as_json())

    def _write(self, value: Mapping[str, Any]) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            with self._lock:
                self._process.stdin.write(json.dumps(value) + "\n")
                self._process.stdin.flush()
        except OSError as error:
            self._say(f"execution.notify: its process is gone ({error}); nobody will be told")
            self._process = None

    def wait(self) -> None:
        """Wait for what was handed over last to be sent, within the limits of `execution.notify`."""
        if self._process is None:
            return
        ways = sum(bool(way) for way in (self._params.command, self._params.url, self._params.url_variable))
        limit = ways * self._params.timeout_s + START_S
        timer = threading.Timer(limit, self._process.kill)
        timer.daemon = True
        timer.start()
        printed, _ = self._process.communicate()
        timer.cancel()
        for line in printed.splitlines():
            self._say(f"execution.notify: {line}")
        if self._process.returncode:
            self._say(f"execution.notify: it did not end well within {limit:g} s; somebody may not be told")
