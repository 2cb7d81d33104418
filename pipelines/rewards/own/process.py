"""The other end of a reward function's process: starts it, feeds it, and kills it at the time limit.

A response that the function needs too long for, or that ends its process, costs itself alone: a call with
several is repeated one by one, in a process of its own again where the first one had to be killed.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from pipelines.rewards.own.function_params import FunctionParams
from pipelines.rewards.verdict import Verdict, error
from pipelines.seams import ROOT

PROGRAM = "from pipelines.rewards.own.worker import serve; serve()"
START_S = 300.0  # for the imports of the user's file
GRACE_S = 5.0  # beside the limits that the process keeps itself


class FunctionBroken(ValueError):
    """The function cannot be had: its file does not import, or its signature is none of the accepted ones."""


class _Ended(Exception):
    """The process gave no answer; its text is the reason."""


class FunctionProcess:
    """The process of the function that `options` name, started at first use and again after it was killed.
    It serves one call at a time.
    """

    def __init__(self, options: FunctionParams) -> None:
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self.style = ""

    def start(self) -> None:
        """Start it, where it does not run. Raises FunctionBroken."""
        if self._process is not None:
            return
        place = self._options.place
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._rest = b""
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            cwd=ROOT,
            start_new_session=True,
        )
        file = place.file
        task = {"file": file and str(file), "module": place.code, "name": place.name}
        try:
            self._send({**task, "options": self._options.model_dump(mode="json")})
            reply = self._reply(START_S)
        except _Ended as failure:
            raise FunctionBroken(f"{self._options.path}: while it was imported, {failure}") from failure
        if "broken" in reply:
            self.close()
            raise FunctionBroken(f"{self._options.path}: {reply['broken']}")
        self.style = reply["style"]

    def ask(self, rows: Sequence[dict[str, Any]]) -> list[Verdict]:
        """Returns one verdict per row, in order."""
        if not rows:
            return []
        try:
            self.start()
        except FunctionBroken as failure:  # it was there when the stage began
            return [error(str(failure))] * len(rows)
        if self.style == "in turn":
            return self._in_turn(rows)
        size = self._options.batch if self.style == "together" else len(rows)
        portions = [rows[start : start + size] for start in range(0, len(rows), size)]
        return [verdict for portion in portions for verdict in self._together(portion)]

    def close(self) -> None:
        """Kills the process, and what it has started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                assert stream is not None
                stream.close()
        process.wait()

    def _in_turn(self, rows: Sequence[dict[str, Any]]) -> list[Verdict]:
        done: list[Verdict] = []
        while len(done) < len(rows):
            verdicts, reason, refused = self._call(rows[len(done) :], self._options.time_limit)
            done += verdicts
            if refused:
                done += [error(reason)] * (len(rows) - len(done))
            elif reason:
                done.append(error(reason))
        return done

    def _together(self, rows: Sequence[dict[str, Any]]) -> list[Verdict]:
        """Returns the verdicts of one call; where it fails, of a call for each row."""
        rounds = math.ceil(len(rows) / self._options.parallel) if self.style == "awaited" else 1
        grace = GRACE_S if self.style == "awaited" else 0.0
        verdicts, reason, refused = self._call(rows, self._options.time_limit * rounds + grace)
        if not reason:
            return verdicts
        if refused or len(rows) == 1:
            return [error(reason)] * len(rows)
        return [verdict for row in rows for verdict in self._together([row])]

    def _call(self, rows: Sequence[dict[str, Any]], time_limit: float) -> tuple[list[Verdict], str, bool]:
        """Returns the verdicts that came, why the next one did not (empty: all came), and whether no other
        would. `time_limit`: seconds between two replies.
        """
        verdicts: list[Verdict] = []
        try:
            self.start()
            self._send(rows)
            while len(verdicts) < len(rows):
                reply = self._reply(time_limit)
                if "failed" in reply:
                    return verdicts, reply["failed"], bool(reply.get("refused"))
                verdicts += [_verdict(*values) for values in reply["verdicts"]]
        except (_Ended, FunctionBroken) as failure:
            return verdicts, str(failure), isinstance(failure, FunctionBroken)
        return verdicts, "", False

    def _send(self, message: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise _Ended(self._how_it_ended()) from None

    def _reply(self, time_limit: float) -> dict[str, Any]:
        """Returns the next message. Raises _Ended where none comes in time, or the process has ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor, until = self._process.stdout.fileno(), time.monotonic() + time_limit
        while b"\n" not in self._rest:
            if not select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
                self.close()
                raise _Ended(f"the function took more than {time_limit:g} s and was killed")
            data = os.read(descriptor, 1 << 16)
            if not data:
                raise _Ended(self._how_it_ended())
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def _how_it_ended(self) -> str:
        process = self._process
        assert process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):  # it closed its output and goes on: killed below
            process.wait(GRACE_S)
        code = process.returncode
        self.close()
        if code is None:
            return "the function's process closed its output and was killed"
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"the function's process ended with {how}"


def _verdict(outcome: Any, score: float, reason: str, parts: Sequence[Sequence[Any]]) -> Verdict:
    return Verdict(outcome, score, reason, tuple((name, value) for name, value in parts))
