"""The servers that a run starts or is told of: half-made databases, proxies, the user's PREFECT_ and MLFLOW_
variables.
"""

from __future__ import annotations

import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flows.running import prefect_settings, proxies
from flows.running.prefect_server import FREE_PORTS, free_port, unanswered
from flows.running.prefect_settings import ServerFailed
from flows.ui import _page_answers
from pipelines.quiet import LOOPBACK, spare_loopback
from pipelines.rewards.models.endpoint import EndpointLabels
from pipelines.rewards.models.options import EndpointParams
from tasks.database_file import MLFLOW, PREFECT, state
from tests.cases import case
from tests.flows.accident import Scene
from tests.flows.records import mlflow_runs, prefect_flows
from tests.flows.toy import Project

CLOSED = "http://127.0.0.1:9"
PROXIES = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), CLOSED) | {
    "ALL_PROXY": "socks5://127.0.0.1:9"
}


def test_a_first_run_with_half_made_databases_behind_a_proxy(project: Project) -> None:
    """Both files that a killed server left, and a proxy for everything: the run ends well and is recorded in
    both stores.
    """
    databases = {
        ".whetstone/prefect/prefect.db": ("prefect", PREFECT),
        ".whetstone/mlflow.db": ("mlflow", MLFLOW),
    }
    for path, (name, _) in databases.items():
        (project.folder / path).parent.mkdir(exist_ok=True)
        shutil.copyfile(case(f"half_made_{name}.db"), project.folder / path)
    findings = {row["what"]: row for row in json.loads(project.call("doctor", "--json").stdout)}
    for name in ("prefect", "mlflow"):
        assert "half-made" in findings[f"{name}'s database"]["said"]
    project.set("report.samples", 2)
    done = project.call("run", **PROXIES, NO_PROXY="example.org")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "half-made" in done.stdout
    assert prefect_flows(project.folder) == ["COMPLETED"]
    assert mlflow_runs(project.folder) == [("flow", "FINISHED"), ("report", "FINISHED")]
    for path, (_, schema) in databases.items():
        assert state(project.folder / path, schema) == "whole"


@pytest.mark.slow
def test_prefects_server_is_killed_while_it_makes_its_database(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom flows.running.prefect_server import Server\n"
        "server = Server(Path(sys.argv[1]))\ntry:\n    server.ready(100)\nfinally:\n    server.stop()"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    for size in (1, 500_000):
        serving = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], env=env, stderr=subprocess.DEVNULL
        )
        folder = tmp_path / ".whetstone/prefect"
        while serving.poll() is None and not any(
            path.stat().st_size >= size for path in folder.glob("prefect.db.making-*[0-9]")
        ):
            time.sleep(0.001)
        serving.kill()
        serving.wait()
        assert not (folder / "prefect.db").exists()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert state(folder / "prefect.db", PREFECT) == "whole"


def test_a_server_that_cannot_start_says_why(project: Project) -> None:
    project.set("report.samples", 2)
    (project.folder / ".whetstone/prefect").write_text("a file where a folder should be")
    done = project.call("run")
    assert done.returncode == 1
    assert "Prefect's server did not start: " in done.stderr
    assert "prefect.db cannot be made" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_an_api_url_that_nothing_answers_is_named_at_once(project: Project) -> None:
    project.set("report.samples", 2)
    done = project.call("run", PREFECT_API_URL="http://me:hunter2@127.0.0.1:9/api")
    assert done.returncode == 1
    assert "PREFECT_API_URL=http://me:***@127.0.0.1:9/api: no Prefect server answers there (" in done.stderr
    assert "unset PREFECT_API_URL" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


# -- proxies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [{}, {"NO_PROXY": "a.org"}, {"no_proxy": " a.org, 127.0.0.1"}, {"NO_PROXY": "", "no_proxy": "b"}]
)
def test_loopback_is_excepted_beside_what_the_user_excepts(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "")  # so that what the call sets is undone
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    spare_loopback()
    both = os.environ["NO_PROXY"].split(",")
    assert os.environ["no_proxy"].split(",") == both
    assert set(LOOPBACK) <= set(both)
    assert {word.strip() for value in given.values() for word in value.split(",") if word.strip()} <= set(
        both
    )
    assert len(both) == len(set(both))


def test_every_host_excepted_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("no_proxy", raising=False)
    spare_loopback()
    assert os.environ["NO_PROXY"] == "*"


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:9", "socks://x:1", "ftp://x", "SOCKS4://x"])
def test_a_proxy_that_httpx_refuses_is_set_aside_for_the_stages(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr(proxies, "_set_aside", {})
    monkeypatch.setenv("ALL_PROXY", value)
    monkeypatch.setenv("HTTPS_PROXY", CLOSED)
    with pytest.raises((ImportError, ValueError)):
        httpx.Client()
    proxies.set_aside_unusable()
    httpx.Client().close()
    assert proxies.set_aside_variables() == {"ALL_PROXY": value}
    assert os.environ["HTTPS_PROXY"] == CLOSED


@pytest.fixture
def server() -> Iterator[int]:
    """A server of this machine that answers everything with 200, but wants a login below /locked."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            refused = (
                self.path.startswith("/locked")
                and self.headers.get("Authorization") != "Basic bWU6aHVudGVyMg=="
            )
            self.send_response(401 if refused else 200)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *words: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield serving.server_address[1]
        serving.shutdown()


def test_a_judge_of_this_machine_is_not_asked_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, server: int
) -> None:
    for name, value in PROXIES.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    labels = EndpointLabels(EndpointParams(url=f"http://127.0.0.1:{server}/v1", model="m"))
    assert labels._client.post(f"http://127.0.0.1:{server}/v1/chat/completions", json={}).status_code == 200


# -- PREFECT_ variables --------------------------------------------------------------------------------------


def test_a_login_is_given_and_a_refusal_is_told_from_silence(
    monkeypatch: pytest.MonkeyPatch, server: int
) -> None:
    monkeypatch.delenv("PREFECT_API_KEY", raising=False)
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    url = f"http://127.0.0.1:{server}/locked/api"
    assert "refuses the key or login in PREFECT_API_KEY or PREFECT_API_AUTH_STRING" in unanswered(url)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "me:hunter2")
    assert unanswered(url) == ""
    assert "refused" in unanswered(f"http://127.0.0.1:{free_port()}/api").lower()


@pytest.mark.parametrize(
    "greeting",
    [b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"220 mail ready\r\n", b"\x4a\x00\x00\x00\x0a8.0.36", b"", b"HTTP/1.1 \r\n",
     b"HTTP/1.1 abc OK\r\n\r\n", b"HTTP/9 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200, b"x" * 70_000],
)  # fmt: skip
def test_something_else_that_listens_is_no_server(greeting: bytes) -> None:
    """Also the question itself, which comes back where a connection met itself."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        def greet() -> None:
            for _ in range(2):
                with other.accept()[0] as asked:
                    asked.recv(4096)
                    asked.sendall(greeting)

        threading.Thread(target=greet, daemon=True).start()
        assert unanswered(f"http://127.0.0.1:{port}/api") != ""
        assert not _page_answers(f"http://127.0.0.1:{port}")


def test_ports_of_servers_are_not_those_of_outgoing_connections() -> None:
    assert {free_port() in FREE_PORTS for _ in range(20)} == {True}
    if (system := Path("/proc/sys/net/ipv4/ip_local_port_range")).exists():
        assert FREE_PORTS.stop <= int(system.read_text().split()[0])


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A home with two profiles; the environment is put back afterwards."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        del os.environ[name]
    os.environ["HOME"] = str(tmp_path)
    (tmp_path / ".prefect").mkdir()
    (tmp_path / ".prefect/profiles.toml").write_text(
        'active = "cloud"\n[profiles.cloud]\nPREFECT_API_URL = "https://elsewhere/api"\nPREFECT_API_KEY = "pnu_1"\n[profiles.bare]\n'
    )
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


def test_a_named_profile_counts_where_no_variable_says_otherwise(settings: Path) -> None:
    os.environ |= {"PREFECT_PROFILE": "cloud", "PREFECT_API_KEY": "mine"}
    prefect_settings.environment(settings / "project")
    assert os.environ["PREFECT_API_URL"] == "https://elsewhere/api"
    assert os.environ["PREFECT_API_KEY"] == "mine"
    assert os.environ["PREFECT_PROFILES_PATH"] == str(settings / ".prefect/profiles.toml")


def test_without_a_name_no_profile_of_the_users_is_read(settings: Path) -> None:
    prefect_settings.environment(settings / "project")
    assert "PREFECT_API_URL" not in os.environ
    assert os.environ["PREFECT_HOME"] == str(settings / "project/.whetstone/prefect")


@pytest.mark.parametrize("name", ["clout", "bare2"])
def test_a_profile_that_is_not_there_is_an_error_with_those_that_are(settings: Path, name: str) -> None:
    os.environ["PREFECT_PROFILE"] = name
    with pytest.raises(ServerFailed, match="only cloud, bare"):
        prefect_settings.environment(settings / "project")
    os.environ["PREFECT_HOME"] = str(settings / "nowhere")
    with pytest.raises(ServerFailed, match=r"nowhere/profiles\.toml cannot be read"):
        prefect_settings.environment(settings / "project")


def test_a_profile_that_is_not_there_stops_a_run_with_a_sentence(scene: Scene) -> None:
    scene.edit("pipelines/toy/supervised.py", "0.5", "0.25")
    scene.env["PREFECT_PROFILE"] = "nobody"
    done = scene.call("run", "sft@sft")
    assert done.returncode == 1
    assert "PREFECT_PROFILE=nobody" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
