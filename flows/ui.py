"""`whetstone ui`: the web pages of MLflow and Prefect, on the loopback interface."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

from rich.console import Console

from flows.running.headline import cause
from flows.running.prefect_server import LIFELINE, Server, ServerFailed
from flows.workspace import STATE
from tasks import tracking_names
from tasks.tracking import Tracking

FIRST_PORT = 5000


def _page_answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return reply.status == 200
    except (http.client.HTTPException, OSError):
        return False


def runs_page(url: str, experiment: str) -> str:
    """Returns the address of an experiment's table of runs at MLflow's `url`, or `url` where it has none yet.

    MLflow's first page, and an experiment's without `workflowType`, are those of agents' traces.
    """
    query = f"{url}/api/2.0/mlflow/experiments/get-by-name?{urlencode({'experiment_name': experiment})}"
    try:
        with urllib.request.urlopen(query, timeout=5) as reply:
            number = json.load(reply)["experiment"]["experiment_id"]
    except (http.client.HTTPException, OSError, ValueError, LookupError):
        return url
    return f"{url}/#/experiments/{number}?workflowType=machine_learning"


def show(root: Path, port: int | None, check: bool, console: Console) -> int:
    """Serve both until Ctrl-C or SIGTERM; with `check`, stop when both have answered. Returns the exit code,
    1 when one does not start.

    A requested port that another program listens on is refused; without a request the next free pair is used.
    """
    occupied = [number for number in (port, port + 1) if not _free(number)] if port else []
    if occupied:
        console.print(
            f"port {occupied[0]} is taken by another program; choose another with --port", style="red"
        )
        return 1
    first = port or next(
        (number for number in range(FIRST_PORT, FIRST_PORT + 200, 2) if _free(number) and _free(number + 1)),
        0,
    )
    if not port and first != FIRST_PORT:
        console.print(
            f"port {FIRST_PORT} or {FIRST_PORT + 1} is taken by another program; {first} and {first + 1} are "
            f"used",
            style="yellow",
        )
    try:
        prefect = Server(root, first + 1, ui=True)
    except ServerFailed as error:
        console.print(str(error), style="red", markup=False)
        return 1
    store = Tracking(root, say=lambda text: console.print(text, style="yellow", markup=False)).store
    mlflow = None
    stop = threading.Event()
    previous = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        if not store.served:
            store.settle()
            mlflow = _mlflow(root, store.uri, first)
        pages = {
            "MLflow": store.shown if store.served else f"http://127.0.0.1:{first}",
            "Prefect": prefect.url.removesuffix("/api"),
        }
        started = {
            name: url for name, url in pages.items() if (mlflow if name == "MLflow" else prefect.started_here)
        }
        if not _wait_for(started, stop, mlflow, prefect, root / STATE / "logs", console):
            return 1
        if "MLflow" in started:
            pages["MLflow"] = runs_page(pages["MLflow"], tracking_names.experiment(root, store.shared))
        for name, url in pages.items():
            console.print(
                f"{name:<8} {url}" + ("" if name in started else "  (not ours: as the environment says)"),
                markup=False,
            )
        if not check:
            console.print("Ctrl-C stops both", style="dim")
            stop.wait()
        return 0
    except store.failures() as error:
        console.print(
            f"MLflow store {store.shown}: {error}; fix: {store.remedy(error)}", style="red", markup=False
        )
        return 1
    finally:
        prefect.stop()
        if mlflow:
            mlflow.terminate()
            mlflow.wait(15)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _mlflow(root: Path, uri: str, port: int) -> subprocess.Popen[bytes]:
    argv = [
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
    env = {**os.environ, "MLFLOW_BACKEND_STORE_URI": uri}  # not an argument: it may hold a password
    with open(root / STATE / "logs" / "mlflow-ui.log", "wb") as stream:
        command = [sys.executable, "-S", "-E", str(LIFELINE), "3", "--", *argv]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            cwd=root,
            env=env,
            start_new_session=True,
        )


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that has just ended listens no more
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _wait_for(
    pages: dict[str, str],
    stop: threading.Event,
    mlflow: subprocess.Popen[bytes] | None,
    prefect: Server,
    logs: Path,
    console: Console,
) -> bool:
    """Wait until each page answers from its own process. Returns whether all do."""
    waiting, end = dict(pages), time.monotonic() + 90
    while waiting and not stop.is_set():
        waiting = {name: url for name, url in waiting.items() if not _page_answers(url)}
        for name, ended, log in (
            ("MLflow", mlflow is not None and mlflow.poll() is not None, "mlflow-ui.log"),
            ("Prefect", prefect.ended, "prefect-server.log"),
        ):
            if ended:
                console.print(
                    f"{name}'s page ended at once: {cause(_lines(logs / log)) or 'it printed nothing'}; see "
                    f"{logs / log}",
                    style="red",
                )
                return False
        if time.monotonic() > end:
            console.print(f"{', '.join(waiting)} did not answer within 90 s; see {logs}", style="red")
            return False
        stop.wait(0.2)
    return not waiting


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", "replace").splitlines() if path.exists() else []
