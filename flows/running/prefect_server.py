"""A Prefect API to talk to: the configured one if it answers, else a server of our own for the length of the run.

Prefect's built-in temporary server imports the whole server into the caller only to start it again as a child (7.7 s); started directly,
while we plan and import, it costs 3 s. It listens on loopback, keeps its database below the project, and dies with us.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from flows.workspace import STATE
from pipelines.quiet import quiet

LIFELINE = Path(__file__).with_name("lifeline.py")


class ServerFailed(RuntimeError):
    """Prefect's server did not come up."""


def environment(root: Path) -> None:
    """Settings of every Prefect process of the project; to be called before Prefect is imported. What the user has set stays."""
    quiet()
    os.environ.setdefault("PREFECT_HOME", str(root / STATE / "prefect"))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")  # people watch our own display; the pages get every line
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    # Its SQLite answers 503 to a transaction that another one overtook, and to many in a row on a busy disk: patience costs nothing here.
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "10")


def answers(url: str, timeout: float = 1.0) -> bool:
    """Whether a Prefect API answers at `url` (…/api)."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=timeout) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError, ValueError):
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """Start with the constructor, which does not wait; `ready` waits; `stop` ends a server that is ours."""

    def __init__(self, root: Path, port: int = 0, ui: bool = False):
        environment(root)
        self._child: subprocess.Popen[bytes] | None = None
        configured = os.environ.get("PREFECT_API_URL")
        if configured and answers(configured, timeout=10):
            self.url = configured
            return
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}/api"
        self.log = root / STATE / "logs" / "prefect-server.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        found = importlib.util.find_spec("prefect")
        if found is None or found.origin is None:
            raise ServerFailed("the package prefect is not installed; run `make` to set up .venv")
        argv = [sys.executable, "-m", "uvicorn", "--app-dir", str(Path(found.origin).parent.parent), "--factory"]
        argv += [
            "prefect.server.api.server:create_app",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--log-level",
            "error",
            "--lifespan",
            "on",
        ]
        env = {**os.environ, "PREFECT_UI_ENABLED": "1" if ui else "0", "PREFECT_LOGGING_LEVEL": "ERROR"}
        env |= {"PREFECT__SERVER_FINAL": "1", "PREFECT_UI_API_URL": self.url, "PREFECT_SERVER_LOG_RETRYABLE_ERRORS": "1"}
        if not ui:
            env["PREFECT__SERVER_EPHEMERAL"] = "1"  # no pages and no scheduler: a run needs neither
        env.pop("PREFECT_API_URL", None)
        with open(self.log, "wb") as log:
            command = [sys.executable, "-S", "-E", str(LIFELINE), "3", "--", *argv]
            self._child = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
        os.environ["PREFECT_API_URL"] = self.url

    @property
    def ours(self) -> bool:
        return self._child is not None

    def ready(self, timeout: float = 180) -> None:
        """Wait until it answers. Raises ServerFailed with the end of its log."""
        end = time.monotonic() + timeout
        while not answers(self.url):
            if (self._child is not None and self._child.poll() is not None) or time.monotonic() > end:
                tail = self.log.read_text("utf-8", "replace").strip().splitlines()[-3:]
                raise ServerFailed("Prefect's server did not start: " + " | ".join(tail) + f"; log: {self.log}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(10)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
