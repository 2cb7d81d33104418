"""Symbolic comparisons in processes that are killed when they take too long, so that one pair cannot hold up
the others.

A worker is a process that has imported sympy and forks a child per batch. The kernel kills the child when it
has used its CPU time for one pair (`ITIMER_PROF` with the default action): no Python code, held lock or long
multiplication can postpone that, and a busy machine does not bring it forward. The worker then forks a new
child for the pairs after the one that failed, so that no pair depends on those before it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipelines.rewards.answers.rule_params import WorkerParams
from pipelines.rewards.verdict import Verdict, error
from pipelines.settings import ROOT

AnswerPair = tuple[str, str]
BATCH = 64
WALL = 15  # times the processor limit: a child that neither computes nor ends
PROGRAM = "from pipelines.rewards.answers.workers import serve; serve()"


class Workers:
    """A pool of workers, started at first use. Thread-safe: a worker serves one batch at a time."""

    def __init__(self, params: WorkerParams | None = None) -> None:
        self.params = params or WorkerParams()
        self._idle: list[subprocess.Popen[str]] = []
        self._all: list[subprocess.Popen[str]] = []
        self._lock = threading.Lock()
        self._owner = os.getpid()
        atexit.register(self.close)

    def compare(self, pairs: Sequence[AnswerPair], require_units: bool = False) -> list[Verdict]:
        """Returns one verdict per (answer, reference), in order. A pair over the limits gets an error
        verdict.
        """
        if os.getpid() != self._owner:  # after a fork: the pipes belong to the parent
            self._idle, self._all, self._lock, self._owner = [], [], threading.Lock(), os.getpid()
        size = max(1, min(BATCH, -(-len(pairs) // self.params.processes)))
        batches = [pairs[start : start + size] for start in range(0, len(pairs), size)]
        if len(batches) <= 1:
            return [verdict for batch in batches for verdict in self._batch(batch, require_units)]
        with ThreadPoolExecutor(self.params.processes) as threads:
            return [
                verdict
                for verdicts in threads.map(lambda batch: self._batch(batch, require_units), batches)
                for verdict in verdicts
            ]

    def close(self) -> None:
        """Kills every worker."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            for worker in self._all:
                _kill_worker(worker)
            self._idle, self._all = [], []

    def _batch(self, batch: Sequence[AnswerPair], require_units: bool, fresh: bool = False) -> list[Verdict]:
        """`fresh`: with a newly started worker. Only there does a dead worker count against the pair: an idle
        one may have been killed before.
        """
        worker = self._take(fresh)
        try:
            verdicts = self._exchange(worker, batch, require_units)
        except (OSError, ValueError):
            self._drop(worker)
            if len(batch) == 1:
                return (
                    [error("the process that compares died")]
                    if fresh
                    else self._batch(batch, require_units, fresh=True)
                )
            return [verdict for pair in batch for verdict in self._batch([pair], require_units)]
        except BaseException:
            self._drop(worker)
            raise
        with self._lock:
            self._idle.append(worker)
        return verdicts

    def _exchange(
        self, worker: subprocess.Popen[str], batch: Sequence[AnswerPair], require_units: bool
    ) -> list[Verdict]:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(json.dumps({"pairs": batch, "require_units": require_units}) + "\n")
        worker.stdin.flush()
        line = worker.stdout.readline()
        verdicts = [Verdict(*values) for values in json.loads(line)]
        if len(verdicts) != len(batch):
            raise ValueError("an answer for another batch")
        return verdicts

    def _take(self, fresh: bool = False) -> subprocess.Popen[str]:
        with self._lock:
            if self._idle and not fresh:
                return self._idle.pop()
            worker = _start_worker(self.params)
            self._all.append(worker)
            return worker

    def _drop(self, worker: subprocess.Popen[str]) -> None:
        _kill_worker(worker)
        with self._lock, contextlib.suppress(ValueError):
            self._all.remove(worker)


def _start_worker(params: WorkerParams) -> subprocess.Popen[str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "WHETSTONE_LIMITS": params.model_dump_json(),
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, encoding="utf-8", env=environment, start_new_session=True,
    )  # fmt: skip


def _kill_worker(worker: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, signal.SIGKILL)
    for stream in (worker.stdin, worker.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    worker.wait()


def serve() -> None:
    """The worker's loop: one line of JSON per batch in, one line out, until the input ends."""
    import math_verify  # noqa: F401 - loaded once, before the forks

    from pipelines.rewards.answers import symbolic

    params = WorkerParams.model_validate_json(os.environ["WHETSTONE_LIMITS"])
    symbolic.compare_answers("x+1", "1+x", False)  # builds the grammar's tables, which the children share
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_compare_all(request["pairs"], request["require_units"], params)), flush=True)


def _compare_all(pairs: Sequence[Sequence[str]], require_units: bool, params: WorkerParams) -> list[Any]:
    done: list[Any] = []
    while len(done) < len(pairs):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _run_child(pairs[len(done) :], require_units, params, writer)
        os.close(writer)
        reason = ""
        with os.fdopen(reader, "rb") as stream:
            for line in _lines(stream.fileno(), params.seconds * WALL):
                if line is None:
                    reason = f"no result within {params.seconds * WALL:g} s"
                    os.kill(child, signal.SIGKILL)
                    break
                done.append(json.loads(line))
        _, status = os.waitpid(child, 0)
        if len(done) < len(pairs):
            name = (
                signal.Signals(os.WTERMSIG(status)).name
                if os.WIFSIGNALED(status)
                else f"exit {os.WEXITSTATUS(status)}"
            )
            spent = (
                f"more than {params.seconds:g} s of processor time"
                if name == "SIGPROF"
                else f"the comparison ended with {name}"
            )
            done.append(("error", 0.0, f"symbolic comparison: {reason or spent}"))
    return done


def _run_child(
    pairs: Sequence[Sequence[str]], require_units: bool, params: WorkerParams, writer: int
) -> None:
    import resource

    from pipelines.rewards.answers import symbolic

    try:
        resource.setrlimit(resource.RLIMIT_AS, (params.memory_mb * 2**20, params.memory_mb * 2**20))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        for answer, reference in pairs:
            signal.setitimer(signal.ITIMER_PROF, params.seconds)
            verdict = symbolic.compare_answers(answer, reference, require_units)
            signal.setitimer(signal.ITIMER_PROF, 0)
            os.write(writer, json.dumps((verdict.outcome, verdict.score, verdict.reason)).encode() + b"\n")
    finally:
        os._exit(0)  # whatever happened: the child must never return into the worker's loop


def _lines(descriptor: int, patience: float) -> Iterator[bytes | None]:
    """Yields lines until the end; None, and no more, when none came for `patience` seconds."""
    rest = b""
    until = time.monotonic() + patience
    while True:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            yield None
            return
        data = os.read(descriptor, 65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
        until = time.monotonic() + patience
