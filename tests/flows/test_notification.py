"""Who is told how a run ended: a real command and a real server, of runs that end well, fail, are stopped and
are killed.
"""

from __future__ import annotations

import base64
import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flows.running.notification import Notification
from flows.running.run_records import RunRecord
from tasks.execution_params import NotifyParams
from tests.flows.accident import STEPS, Scene, until

BROKEN = "def run(stage):\n    raise ValueError('too hot')\n"


class Server(http.server.ThreadingHTTPServer):
    """Remembers what it is sent; `code` is its answer, after `pause_s`."""

    code, pause_s = 204, 0.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[dict[str, Any]] = []
        self.headers: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook/hunter2?token=abc123"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(json.loads(body))
        self.server.headers.append(self.headers)
        time.sleep(self.server.pause_s)
        self.send_response(self.server.code)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


def test_a_command_and_a_server_are_told_of_a_run_that_ends_well_and_of_one_that_fails(
    scene: Scene, server: Server
):
    scene.set("execution.notify", {"command": "cat > told.json; echo $WHETSTONE_OUTCOME", "url": server.url})
    scene.set("sft.common.steps", 999)
    done = scene.call(
        "run", "--name", "good", HTTP_PROXY="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (told,) = server.got
    assert (told["name"], told["outcome"], told["error"]) == ("good", "done", None)
    assert told["stages"]["sft@sft"]["ended"] == "run"
    assert told["report"] == str(scene.folder / "reports/index.html")
    assert told["seconds"] > 0
    assert json.loads((scene.folder / "told.json").read_text()) == told
    assert (scene.folder / ".whetstone/logs/good/notify.log").read_text() == "done\n"
    assert "execution.notify: " not in done.stdout

    scene.stage("sft", BROKEN)
    server.code = 500
    failed = scene.call("run", "sft@sft", "--name", "bad")
    assert failed.returncode == 1
    assert "execution.notify: http://127.0.0.1:" in failed.stdout
    assert "answered 500" in failed.stdout
    assert (server.got[1]["name"], server.got[1]["outcome"]) == ("bad", "failed")
    assert "too hot" in server.got[1]["stages"]["sft@sft"]["error"]
    assert not any(secret in failed.stdout + failed.stderr for secret in ("hunter2", "abc123"))
    logs = scene.folder.glob(".whetstone/logs/*/*.log")
    assert not any("hunter2" in path.read_text("utf-8", "replace") for path in logs)
    everything = b"".join(path.read_bytes() for path in (scene.folder / ".whetstone").rglob("*.yaml"))
    assert b"hunter2" not in everything  # the recipe in MLflow

    assert scene.call("run", "corpus@exam").returncode == 0  # nothing is stale: no run, nobody is told
    assert len(server.got) == 2


def test_a_killed_runner_is_told_too(scene: Scene, server: Server):
    scene.set("execution.notify", {"url": server.url})
    scene.stage("sft", STEPS)
    run = scene.launch("run", "sft@sft", "--name", "shot")
    until(scene.holds)
    run.kill()
    run.wait()
    until(lambda: server.got)
    assert (server.got[0]["name"], server.got[0]["outcome"]) == ("shot", "killed")


def test_a_stopped_run_is_told(scene: Scene, server: Server):
    scene.set("execution.notify", {"url": server.url})
    scene.stage("sft", STEPS)
    run = scene.launch("run", "sft@sft")
    until(scene.holds)
    run.terminate()
    run.wait(60)
    assert [(row["outcome"], row["stages"]["sft@sft"]["ended"]) for row in server.got] == [
        ("stopped", "stopped")
    ]


@contextmanager
def told(root: Path, said: list[str], **params: Any) -> Iterator[Notification]:
    notification = Notification(root, "r", NotifyParams(**params), said.append)
    record = RunRecord("r", "default", [], [], "p", "h", 0.0, "logs")
    notification.tell(record)
    yield notification
    notification.tell(record.ended("done"))
    notification.wait()


def test_what_goes_wrong_is_said_in_bounded_time(tmp_path: Path, server: Server):
    said: list[str] = []
    begun = time.monotonic()
    with told(tmp_path, said, command="sleep 60 & sleep 60", timeout_s=0.5):
        pass
    with told(tmp_path, said, command="exit 3"):
        pass
    with told(tmp_path, said, url="http://127.0.0.1:9/hunter2"):
        pass
    server.code = 302  # the record would be lost
    with told(tmp_path, said, url=server.url):
        pass
    server.code, server.pause_s = 200, 3
    with told(tmp_path, said, url=server.url, timeout_s=0.3):
        pass
    assert time.monotonic() - begun < 60
    log = tmp_path / ".whetstone/logs/r/notify.log"
    place = f"http://127.0.0.1:{server.server_port}"
    assert said == [
        f"execution.notify: the command did not end within 0.5 s; its output: {log}",
        f"execution.notify: the command ended with code 3; its output: {log}",
        "execution.notify: http://127.0.0.1:9: [Errno 111] Connection refused",
        f"execution.notify: {place} answered 302",
        f"execution.notify: {place}: timed out",
    ]


def test_an_address_of_a_variable_may_hold_a_login(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
):
    said: list[str] = []
    with told(tmp_path, said, url_variable="WHETSTONE_TEST_HOOK"):
        pass
    assert said == ["execution.notify.url_variable: WHETSTONE_TEST_HOOK is not set; no address will be told"]
    monkeypatch.setenv("WHETSTONE_TEST_HOOK", server.url.replace("://", "://me:p%40w@"))
    with told(tmp_path, said, url_variable="WHETSTONE_TEST_HOOK"):
        pass
    assert server.headers[0]["Authorization"] == "Basic " + base64.b64encode(b"me:p@w").decode()
    assert len(said) == 1
    for wrong in ("file:///etc/passwd", "hunter2", "http://[::1/hunter2", "http://h:x/hunter2"):
        monkeypatch.setenv("WHETSTONE_TEST_HOOK", wrong)
        with told(tmp_path, said, url_variable="WHETSTONE_TEST_HOOK"):
            pass
        assert "holds no http or https address" in said[-1]
        assert "hunter2" not in said[-1]
    assert len(said) == 5


def test_a_notifier_that_is_killed_is_said(tmp_path: Path):
    said: list[str] = []
    with told(tmp_path, said, command="true") as notification:
        assert notification._process is not None
        notification._process.kill()
        notification._process.wait()
    assert len(said) == 1
    assert "execution.notify: " in said[0]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"url": "ftp://h/x"}, "no http or https address"),
        ({"url": "h/x"}, "no http or https address"),
        ({"url": "http://h:99999/"}, "no http or https address"),
        ({"url": "http://me:pw@h/"}, "url_variable"),
        ({"url": "http://h/", "url_variable": "X"}, "exclude each other"),
        ({"command": ""}, "at least 1"),
        ({"timeout_s": 0}, "greater than 0"),
    ],
)
def test_wrong_settings(params: dict[str, Any], said: str):
    with pytest.raises(ValidationError, match=said):
        NotifyParams(**params)
