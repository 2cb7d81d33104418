"""The Prefect API of a run: the one that the user names, else a server that runs as long as the run does.

Prefect's built-in temporary server imports the whole server into the caller only to start it again as a child
(7.7 s); started directly, during planning and imports, it costs 3 s. It listens on the loopback interface,
keeps its database below the project, and ends with the run.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from flows.running import prefect_database
from flows.running.headline import cause
from flows.running.prefect_settings import ServerFailed, authorisation, environment
from flows.workspace import STATE
from tasks.tracking_records import public

__all__ = ["Server", "ServerFailed", "answers", "environment", "free_port"]

LIFELINE = Path(__file__).with_name("lifeline.py")
CODE = Path(__file__).parents[2]
# below Linux's 32768 to 60999 (ip_local_port_range) and IANA's 49152 to 65535
FREE_PORTS = range(20_000, 32_000)


def unanswered(url: str, timeout: float = 1.0) -> str:
    """Returns why no Prefect API answers at `url` (…/api); "" when one does."""
    try:
        request = urllib.request.Request(f"{url.rstrip('/')}/health", headers=authorisation())
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return "" if reply.status == 200 else f"status {reply.status}"
    except urllib.error.HTTPError as error:
        hint = (
            "it refuses the key or login in PREFECT_API_KEY or PREFECT_API_AUTH_STRING"
            if error.code in (401, 403)
            else ""
        )
        return f"status {error.code}" + (f", {hint}" if hint else "")
    except http.client.HTTPException as error:  # urllib lets it through: something else listens there
        return f"what answers is not a web server ({type(error).__name__})"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__


def answers(url: str, timeout: float = 1.0) -> bool:
    """Returns whether a Prefect API answers at `url` (…/api)."""
    return not unanswered(url, timeout)


def free_port() -> int:
    """Returns a free port of the loopback interface, below those that the system gives to outgoing
    connections.

    A connection to a port of that range, before the server listens on it, may connect to itself, and the
    server then finds its port taken (TCP's simultaneous open, RFC 9293 section 3.5).
    """
    for port in random.SystemRandom().sample(FREE_PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerFailed(
        f"none of 100 ports between {FREE_PORTS.start} and {FREE_PORTS.stop} of 127.0.0.1 is free"
    )


class Server:
    """A Prefect server. The constructor starts it without waiting, `ready` waits for it, and `stop` ends it
    if it was started here.
    """

    def __init__(self, root: Path, port: int = 0, ui: bool = False):
        environment(root)
        self._child: subprocess.Popen[bytes] | None = None
        configured = os.environ.get("PREFECT_API_URL")
        if configured:
            fault = unanswered(configured, timeout=10)
            if fault:
                shown = public({"url": configured})["url"]
                raise ServerFailed(f"PREFECT_API_URL={shown}: no Prefect server answers there ({fault}); "
                    f"start it, "
                    f"or unset "
                                   "PREFECT_API_URL and the run starts one of its own")  # fmt: skip
            self.url = configured
            return
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}/api"
        self.log = root / STATE / "logs" / "prefect-server.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if importlib.util.find_spec("prefect") is None:
            raise ServerFailed("the package prefect is not installed; run `make` to set up .venv")
        argv = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
        argv += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on"]
        with open(self.log, "wb") as log:
            command = [
                sys.executable,
                "-S",
                "-E",
                str(LIFELINE),
                "3",
                "--",
                *_whole_database_first(root),
                *argv,
            ]
            self._child = subprocess.Popen(
                command,
                env=self._environment(ui),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.environ["PREFECT_API_URL"] = self.url

    def _environment(self, ui: bool) -> dict[str, str]:
        env = {**os.environ, "PREFECT_UI_ENABLED": "1" if ui else "0", "PREFECT_LOGGING_LEVEL": "ERROR"}
        env |= {
            "PREFECT__SERVER_FINAL": "1",
            "PREFECT_UI_API_URL": self.url,
            "PREFECT_SERVER_LOG_RETRYABLE_ERRORS": "1",
        }
        # its log is where the reason stands when it does not start
        env["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "ERROR"
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CODE), env.get("PYTHONPATH")]))
        if not ui:
            env["PREFECT__SERVER_EPHEMERAL"] = "1"  # no pages and no scheduler: a run needs neither
        env.pop("PREFECT_API_URL", None)
        return env

    @property
    def started_here(self) -> bool:
        return self._child is not None

    @property
    def ended(self) -> bool:
        """Whether a server that was started here has ended by itself."""
        return self._child is not None and self._child.poll() is not None

    def ready(self, timeout: float = 180) -> None:
        """Wait until the server answers. Raises ServerFailed with the cause from its log."""
        end = time.monotonic() + timeout
        while not answers(self.url):
            code = self._child.poll() if self._child is not None else None
            if code is not None or time.monotonic() > end:
                log_cause = (
                    cause(self.log.read_text("utf-8", "replace").splitlines()) if self.started_here else ""
                )
                reason = (
                    f"it ended with exit code {code}"
                    if code is not None
                    else f"it did not answer at {self.url} within {timeout:g} s"
                )
                raise ServerFailed(f"Prefect's server did not start: {log_cause or reason}; log: {self.log}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.started_here and os.environ.get("PREFECT_API_URL") == self.url:
            del os.environ["PREFECT_API_URL"]
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(10)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()


def _whole_database_first(root: Path) -> list[str]:
    """Returns the part of the command, before the server's, that completes its database; empty where the user
    says where Prefect keeps it.
    """
    home = Path(os.environ["PREFECT_HOME"]).expanduser().resolve()
    if any(name in os.environ for name in prefect_database.USERS) or not home.is_relative_to(
        (root / STATE).resolve()
    ):
        return []
    return [sys.executable, "-m", "flows.running.prefect_database", str(home / "prefect.db"), "--"]
