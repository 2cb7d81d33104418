"""MLflow's store in a real PostgreSQL and behind a real MLflow server, used by two projects, two first runs
at once.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.running.prefect_server import free_port
from tasks.tracking import Tracking

DIGEST = {"one": "1" * 32 + ".dir", "two": "2" * 32 + ".dir"}
# A first run of a project: flow, stage, artifact, model.
RUN = """
import sys
from tasks.tracking import Tracking
root, digest = sys.argv[1:]
said = []
tracking = Tracking(root, say=said.append)
flow = tracking.start_flow([{"stage": "sft@sft"}], {})
run = tracking.start_stage(flow, "sft@sft", "why", {"a": 1}, {"data": digest})
tracking.log_rows(run, [{"step": 0, "loss": 1.0}])
tracking.register("sft", "models/sft/model", digest, run)
tracking.end(run)
tracking.end(flow)
print(flow, run, *said, sep="\\n")
"""


def programs() -> Path:
    """Of PostgreSQL; the tests are skipped where there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    place = Path(shutil.which("initdb") or (found[-1] if found else "")).parent
    if not (place / "initdb").exists():
        pytest.skip("PostgreSQL is not installed here (apt-get install postgresql)")
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed (pip install '.[postgres]')")
    return place


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of a fresh cluster on loopback; its password is a password."""
    place, port = programs(), free_port()
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        who = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            try:
                user = pwd.getpwnam("postgres")
            except KeyError:
                pytest.skip("there is no user postgres to run PostgreSQL as")
            os.chown(folder, user.pw_uid, user.pw_gid)
            who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        secret = Path(folder) / "secret"
        secret.write_text("hunter2\n")
        secret.chmod(0o644)
        data = Path(folder) / "data"
        words = [
            place / "initdb",
            "-D",
            data,
            "-U",
            "me",
            "--pwfile",
            secret,
            "-A",
            "scram-sha-256",
            "--no-sync",
            "-E",
            "UTF8",
        ]
        subprocess.run([str(word) for word in words], check=True, capture_output=True, cwd=folder, **who)
        serve = [place / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"]
        with open(Path(folder) / "log", "wb") as log:
            server = subprocess.Popen(
                [str(word) for word in serve], stdout=log, stderr=log, cwd=folder, **who
            )
        try:
            address = f"postgresql://me:hunter2@127.0.0.1:{port}/postgres"
            _until_it_answers(address)
            yield address
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown: SIGTERM would wait for the clients to go
            server.wait(30)


def _until_it_answers(address: str) -> None:
    import psycopg2

    end = time.monotonic() + 30
    while True:
        try:
            psycopg2.connect(address).close()
            return
        except psycopg2.OperationalError:
            assert time.monotonic() < end
            time.sleep(0.1)


def database(postgres: str, name: str) -> str:
    """The address of a new, empty database."""
    import psycopg2

    connection = psycopg2.connect(postgres)
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    return postgres.rpartition("/")[0] + f"/{name}"


def first_runs(tmp_path: Path, uri: str) -> dict[str, list[str]]:
    """What the first runs of two projects, at the same time, printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")} | {
        "MLFLOW_TRACKING_URI": uri
    }
    running = {}
    for name, digest in DIGEST.items():
        (tmp_path / name).mkdir()
        words = [sys.executable, "-c", RUN, str(tmp_path / name), digest]
        env["PYTHONPATH"] = os.getcwd()
        running[name] = subprocess.Popen(
            words, env=env, cwd=tmp_path / name, stdout=subprocess.PIPE, text=True
        )
    return {name: process.communicate(timeout=200)[0].splitlines() for name, process in running.items()}


def check(tmp_path: Path, uri: str, printed: dict[str, list[str]]) -> dict[str, str]:
    """Nothing was lost, nothing is taken for another's; returns where each project's artifacts lie."""
    places = {}
    for name, lines in printed.items():
        assert len(lines) == 2, lines  # the ids, and no warning
        assert "None" not in lines
        tracking = Tracking(tmp_path / name, uri=uri)
        client = tracking.store.client()
        flow, stage = (client.get_run(run) for run in lines)
        assert (flow.info.status, stage.info.status) == ("FINISHED", "FINISHED")
        assert stage.data.metrics == {"loss": 1.0}
        assert [row.path for row in client.list_artifacts(lines[0])] == ["plan.json"]
        (version,) = tracking.versions("sft") or []
        assert (version["digest"], version["aliases"], version["name"]) == (
            DIGEST[name],
            ["current"],
            "sft",
        )
        assert "hunter2" not in tracking.store.shown
        places[name] = client.get_experiment(flow.info.experiment_id).artifact_location
    assert len(set(places.values())) == 2
    return places


def test_two_projects_in_one_new_database(tmp_path: Path, postgres: str) -> None:
    uri = database(postgres, "fresh")
    places = check(tmp_path, uri, first_runs(tmp_path, uri))
    for name, place in places.items():
        assert place == (tmp_path / name / ".whetstone/mlflow_artifacts").as_uri()
        assert not (tmp_path / name / "mlruns").exists()
    (tmp_path / "one").rename(tmp_path / "renamed")
    assert len(Tracking(tmp_path / "renamed", uri=uri).versions("sft") or []) == 1  # it moved
    shutil.copytree(tmp_path / "two", tmp_path / "copy")
    assert Tracking(tmp_path / "copy", uri=uri).versions("sft") == []  # a copy is another workspace


def test_two_projects_at_one_server(tmp_path: Path, postgres: str) -> None:
    uri, port = database(postgres, "served"), free_port()
    artifacts = tmp_path / "artifacts"
    words = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    env |= {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_ARTIFACTS_DESTINATION": str(artifacts)}
    with open(tmp_path / "log", "wb") as log:
        server = subprocess.Popen(
            words, env=env, stdout=log, stderr=log, cwd=tmp_path, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 120
        while not _answers(f"{address}/health"):
            assert server.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.2)
        places = check(tmp_path, address, first_runs(tmp_path, address))
        assert all(place.startswith("mlflow-artifacts:") for place in places.values())
        assert list(artifacts.rglob("plan.json"))
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return reply.status == 200
    except OSError:
        return False


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://me:hunter2@127.0.0.1:9/x",
        "mysql://me:hunter2@127.0.0.1:9/x",
        "postgres://me:hunter2@h/x",
    ],
)
def test_a_database_out_of_reach_is_one_warning_without_the_password(tmp_path: Path, uri: str) -> None:
    said: list[str] = []
    tracking = Tracking(tmp_path, uri=uri, say=said.append)
    started = time.monotonic()
    assert tracking.start_flow([], {}) is None
    assert time.monotonic() - started < 30
    assert len(said) == 1
    assert "; fix: " in said[0]
    assert "hunter2" not in said[0]
