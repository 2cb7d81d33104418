"""Several processes for one stage on this machine, started by torchrun: `execution.processes` of them, with
one GPU each where there are any.

The stage's own process starts them, waits, and publishes the result. The workers run the same `python -m
tasks STAGE` with RANK set, and only rank 0 logs and writes. A rank that dies ends the others, SIGTERM reaches
all, and none outlives the process that started it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from types import FrameType
from typing import NoReturn

WORKER = "WHETSTONE_WORKER"  # set in workers only; RANK alone may come from a cluster around all of this
TERMINATED = 143
_SET_DEATH_SIGNAL = 1


class WorkersFailed(RuntimeError):
    """A worker ended with an error, which the log shows above."""


def is_worker() -> bool:
    """Returns whether this process is one of several workers of a stage."""
    return WORKER in os.environ


def is_first() -> bool:
    """Returns whether this process logs and writes: the only one, or rank 0."""
    return not is_worker() or os.environ["RANK"] == "0"


def launch(processes: int, command: list[str], grace: float, env: Mapping[str, str] | None = None) -> None:
    """Run `command` (python and its arguments) in `processes` processes and wait for all.

    Raises WorkersFailed when one fails, SystemExit(143) after a SIGTERM, which is passed on; `grace` seconds
    later they are killed.
    """
    python, *arguments = command
    options = [
        "--nnodes=1",
        f"--nproc-per-node={processes}",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=127.0.0.1:0",
    ]
    options += [
        "--local-addr=127.0.0.1",
        "--max-restarts=0",
        "--monitor-interval=0.1",
        f"--shutdown-timeout={max(1, round(grace))}",
    ]
    environment = dict(os.environ if env is None else env) | {WORKER: "1"}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    child = subprocess.Popen(
        [python, "-m", "torch.distributed.run", *options, *_as_torchrun(arguments)],
        env=environment,
        preexec_fn=die_with_parent,
    )
    terminated = False

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal terminated
        terminated = True
        child.send_signal(signal.SIGTERM)

    previous = signal.signal(signal.SIGTERM, pass_on)
    try:
        code = child.wait()
    finally:
        signal.signal(signal.SIGTERM, previous)
        if child.poll() is None:
            child.terminate()
            child.wait()
    if terminated:
        raise SystemExit(TERMINATED)
    if code:
        raise WorkersFailed(
            f"one of {processes} processes failed (torchrun ended with status {code}); its error stands above"
        )


def end_worker() -> NoReturn:
    """End a finished worker without the interpreter's finalisation.

    gloo's threads release the last collective's tensors at some later time. One that does so during the
    interpreter's finalisation aborts the process ("terminate called without an active exception"), and a
    complete run counts as failed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Let the kernel send this process the signal `number` when its parent ends, for whatever reason."""
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, number, 0, 0, 0)


def _as_torchrun(arguments: list[str]) -> list[str]:
    """Returns python's arguments as torchrun takes them."""
    return ["--module", *arguments[1:]] if arguments[0] == "-m" else arguments
