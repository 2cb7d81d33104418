"""A Prefect server that lives as long as the tests that share it: a run of its own starts one each time, which
costs seconds of CPU.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.flows.toy import ROOT, environment

SERVER = """
import os, sys
from pathlib import Path
from flows.running.prefect_server import Server
server = Server(Path(sys.argv[1]), ui=sys.argv[2] == "ui")
server.ready(180)
print(server.url, flush=True)
sys.stdin.read()
server.stop()
"""


@contextlib.contextmanager
def served(home: Path, ui: bool = False) -> Iterator[str]:
    """The server's address. `ui`: with Prefect's scheduler, as `whetstone ui` starts it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(home), "ui" if ui else ""],
        cwd=ROOT,
        env={**environment(home), "PREFECT_HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(30)
