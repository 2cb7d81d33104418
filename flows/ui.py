"""`whetstone ui`: MLflow's and Prefect's own pages, on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from rich.console import Console

from flows.running.prefect_server import LIFELINE, Server, environment
from flows.workspace import STATE
from tasks.tracking import Tracking


def _page_answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False


def show(root: Path, port: int, check: bool, console: Console) -> int:
    """Serve both until Ctrl-C or SIGTERM; with `check` stop when both have answered. Exit code 1 when one does not come up."""
    environment(root)
    log = root / STATE / "logs" / "mlflow-ui.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    argv = [
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        Tracking(root).uri,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    with open(log, "wb") as stream:
        command = [sys.executable, "-S", "-E", str(LIFELINE), "3", "--", *argv]
        mlflow = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stream, stderr=stream, cwd=root, env=os.environ.copy(), start_new_session=True
        )
    prefect = Server(root, port + 1, ui=True)
    stop = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    pages = {"MLflow": f"http://127.0.0.1:{port}", "Prefect": prefect.url.removesuffix("/api")}
    try:
        if not _wait_for(pages, stop, mlflow, log, console):
            return 1
        for name, url in pages.items():
            console.print(f"{name:<8} {url}")
        if not check:
            console.print("Ctrl-C stops both", style="dim")
            stop.wait()
        return 0
    finally:
        prefect.stop()
        mlflow.terminate()
        mlflow.wait(15)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _wait_for(pages: dict[str, str], stop: threading.Event, mlflow: subprocess.Popen[bytes], log: Path, console: Console) -> bool:
    waiting, end = dict(pages), time.monotonic() + 90
    while waiting and not stop.is_set():
        waiting = {name: url for name, url in waiting.items() if not _page_answers(url)}
        if mlflow.poll() is not None:
            console.print(f"MLflow's page ended at once; see {log}", style="red")
            return False
        if time.monotonic() > end:
            console.print(f"{', '.join(waiting)} did not answer within 90 s; see {log.parent}", style="red")
            return False
        stop.wait(0.2)
    return not waiting
