"""Runs one test on one program within its limits: a script on standard input, or functions under the test's
code.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections.abc import Mapping
from contextlib import ExitStack, closing
from typing import Any

from pipelines.rewards.code.code_tests_params import SandboxLimits
from pipelines.rewards.sandbox.harness import COMPILE_ERROR
from pipelines.rewards.sandbox.process import ChildExit, Sandbox, TestFailed, in_memory
from pipelines.rewards.sandbox.resource_watch import PERIOD, ResourceWatch, Stopped
from pipelines.rewards.sandbox.status import Status, TestOutcome

CHUNK = 2**16
MOST_STDERR = 16 * 2**20  # bytes; a program that says more on its standard error is stopped
KEPT_STDERR = 2000
GRACE_SECONDS = 0.5  # for a child that has answered to end
MOST_REQUEST = 64 * 2**20  # bytes of the arguments of one call


class Pipe:
    """Length-prefixed frames over a socket. Raises Stopped and Starved as `watch` does."""

    def __init__(self, sock: socket.socket, most: int, watch: ResourceWatch) -> None:
        self._sock, self._most, self._watch = sock, most, watch
        sock.settimeout(PERIOD)

    def send(self, frame: bytes) -> None:
        """Sends a frame. Raises OSError where the other side has closed."""
        rest = memoryview(len(frame).to_bytes(4, "big") + frame)
        while rest:
            try:
                rest = rest[self._sock.send(rest) :]
            except TimeoutError:
                self._watch.look()

    def receive(self) -> bytes:
        """Returns the next frame. Raises EOFError where the other side has closed, ValueError for a frame
        that is too long.
        """
        self._watch.channels = [self._sock.fileno()]
        count = int.from_bytes(self._take(4), "big")
        if count > self._most:
            raise ValueError(f"more than {self._most // 1024} KiB")
        return self._take(count)

    def _take(self, count: int) -> bytes:
        pieces = []
        while count:
            self._watch.look()
            try:
                piece = self._sock.recv(min(count, 2**20))
            except TimeoutError:
                continue
            if not piece:
                raise EOFError
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)


def run_program(
    sandbox: Sandbox, job: Mapping[str, Any], stdin: bytes, limits: SandboxLimits, watch: ResourceWatch
) -> tuple[TestOutcome, bytes]:
    """Runs a script on one input and returns its outcome (PASS: it ended without error) and
    standard output.
    """
    with ExitStack() as stack:
        out, out_inside = _pipe(stack)
        err, err_inside = _pipe(stack)
        source = in_memory(stdin)
        try:
            sandbox.start(
                {**job, "role": "program", "cpu_seconds": limits.test_seconds},
                [source, out_inside, err_inside],
            )
        finally:
            for fd in (source, out_inside, err_inside):
                os.close(fd)
        output, ended, fault = _read_until_exit(sandbox, out, err, limits.output_kb * 1024, watch)
    if fault is not None:
        return fault, b""
    outcome = outcome_of_exit(ended, limits, output[err])
    return outcome or TestOutcome(Status.PASS), bytes(output[out])


def _read_until_exit(
    sandbox: Sandbox, out: int, err: int, most: int, watch: ResourceWatch
) -> tuple[dict[int, bytearray], ChildExit | None, TestOutcome | None]:
    """Reads both pipes until the child has ended. Returns (output by descriptor, exit, outcome); the outcome
    is set where it had to be stopped.
    """
    output: dict[int, bytearray] = {out: bytearray(), err: bytearray()}
    errors = 0
    with selectors.DefaultSelector() as selector:
        for fd in (out, err):
            os.set_blocking(fd, False)
            selector.register(fd, selectors.EVENT_READ)
        selector.register(sandbox.control, selectors.EVENT_READ)
        watch.channels = [out, err, sandbox.control.fileno()]
        while True:
            watch.look()
            ready = {key.fd for key, _ in selector.select(PERIOD)}
            over = sandbox.control.fileno() in ready
            for fd in (out, err):
                while fd in ready or over:
                    piece = _read(fd)
                    if not piece:
                        if piece == b"" and fd in selector.get_map():
                            selector.unregister(fd)
                            watch.channels.remove(fd)
                        break
                    errors += len(piece) * (fd == err)
                    output[fd] += piece
                    if fd == err:
                        del output[err][:-KEPT_STDERR]
                    if len(output[out]) > most or errors > MOST_STDERR:
                        return (
                            output,
                            None,
                            TestOutcome(Status.WRONG, f"more than {most // 1024} KiB of output"),
                        )
                    watch.look()
            if over:
                return output, sandbox.ended(0.001), None


def _read(fd: int) -> bytes | None:
    """Returns the available bytes; b"" at the end; None where there are none now."""
    try:
        return os.read(fd, CHUNK)
    except BlockingIOError:
        return None


def _pipe(stack: ExitStack) -> tuple[int, int]:
    ours, theirs = os.pipe()
    stack.callback(os.close, ours)
    return ours, theirs


def outcome_of_exit(
    ended: ChildExit | None, limits: SandboxLimits, stderr: bytes | bytearray = b""
) -> TestOutcome | None:
    """Returns the outcome of a child's exit; None for status 0 within the limits."""
    if ended is None:
        return TestOutcome(Status.RUNTIME, "it ended its own sandbox")
    code = ended.exit_code
    # the kernel counts its limit and the usage that it tells by different clocks: the second may lie below
    # the limit that has just been met
    if ended.cpu_seconds >= limits.test_seconds or code == -signal.SIGXCPU:
        return TestOutcome(Status.TIMEOUT, f"{ended.cpu_seconds:.1f} s of CPU time")
    if code == 0:
        return None
    lines = bytes(stderr).decode("utf-8", "replace").strip().splitlines()
    last = lines[-1][:300] if lines else ""
    if code == COMPILE_ERROR:
        return TestOutcome(Status.COMPILE, last)
    return TestOutcome(
        Status.RUNTIME, last or (f"killed by signal {-code}" if code < 0 else f"exit status {code}")
    )


class FunctionTest:
    """One test of a program's functions. Program and test run in two sandboxes; this relays frames between
    them.
    """

    def __init__(self, program: Sandbox, judge: Sandbox, limits: SandboxLimits, watch: ResourceWatch) -> None:
        self._program, self._judge, self._limits, self._watch = program, judge, limits, watch

    def run(self, source: Mapping[str, Any], test: Mapping[str, Any]) -> TestOutcome:
        """Returns the test's outcome. Raises SandboxFailed where a sandbox has ended, TestFailed where the
        test ends before it received anything from the program.
        """
        limits = self._limits
        with ExitStack() as stack:
            ours = self._begin(
                stack, self._program, {**source, "role": "serve", "cpu_seconds": limits.test_seconds}
            )
            program = Pipe(ours, limits.output_kb * 1024, self._watch)
            try:
                loaded = program.receive()
            except (OSError, EOFError, ValueError) as fault:
                return self._fault(fault, "it ended while it was loaded")
            said = loaded[1:301].decode("utf-8", "replace")
            if loaded[:1] != b"R":
                return TestOutcome(Status.COMPILE if loaded[:1] == b"X" else Status.RUNTIME, said)
            tests = self._begin(
                stack, self._judge, {"preload": [], **test, "cpu_seconds": limits.wall_seconds}
            )
            self._watch.add(self._judge)
            return self._relay(program, Pipe(tests, MOST_REQUEST, self._watch))

    def _begin(self, stack: ExitStack, sandbox: Sandbox, job: Mapping[str, Any]) -> socket.socket:
        ours, theirs = socket.socketpair()
        stack.enter_context(closing(ours))
        nothing = os.open(os.devnull, os.O_RDWR)
        try:
            sandbox.start(job, [nothing, nothing, nothing, theirs.fileno()])
        finally:
            os.close(nothing)
            theirs.close()
        return ours

    def _relay(self, program: Pipe, judge: Pipe) -> TestOutcome:
        replies = 0
        while True:
            try:
                request = judge.receive()
            except (OSError, EOFError, ValueError, Stopped) as fault:
                late = isinstance(fault, Stopped)
                if not replies:
                    said = f"did not call the program: {fault}" if late else "ended without a verdict"
                    raise TestFailed(f"the test {said}") from fault
                return TestOutcome(
                    Status.TIMEOUT if late else Status.WRONG, "the test could not deal with what was returned"
                )
            if request[:1] == b"D":
                status, _, reason = request[1:].decode("utf-8", "replace").partition(" ")
                return TestOutcome(Status(status), reason)
            try:
                program.send(request)
                reply = program.receive()
            except (OSError, EOFError, ValueError) as fault:
                return self._fault(fault, "it ended during a call")
            replies += not request.startswith(b'["F"')
            try:
                judge.send(reply)
            except OSError:
                continue  # the next receive says what became of the test

    def _fault(self, fault: Exception, gone: str) -> TestOutcome:
        if isinstance(fault, ValueError):
            return TestOutcome(Status.WRONG, f"returned {fault}")
        return outcome_of_exit(self._program.ended(GRACE_SECONDS), self._limits) or TestOutcome(
            Status.RUNTIME, gone
        )
