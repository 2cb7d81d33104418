"""A sandbox seen from outside: start it, send jobs with file descriptors, receive exit statuses, kill it."""

from __future__ import annotations

import contextlib
import fcntl
import marshal
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.rewards.code.code_tests_params import SandboxLimits
from pipelines.rewards.sandbox import containers, driver, harness, mirrors, seccomp, streams, values, wire
from pipelines.rewards.sandbox.launcher import ENVIRONMENT, Launcher

START_SECONDS = 60.0  # patience with a machine that is very busy; a start takes 20 ms
BOOT = (  # arguments: control socket, shipped code, then what confine() takes
    "import marshal,os,sys; c,f,*n=map(int,sys.argv[1:]); h,m=marshal.loads(os.pread(f,1<<22,0)); "
    "os.close(f); "
    "g={'__name__':'harness','__builtins__':__builtins__}; exec(h,g); g['main'](*m,c,*n)"
)


class SandboxFailed(RuntimeError):
    """The sandbox could not be started, or ended while no program was running in it."""


class TestFailed(SandboxFailed):
    """A test's own code ended before it received anything from the program."""


@dataclass(frozen=True, slots=True)
class ChildExit:
    """The exit of a child: its wait status and the CPU seconds used."""

    status: int
    cpu_seconds: float

    @property
    def exit_code(self) -> int:
        """As `os.waitstatus_to_exitcode`: negative for a signal."""
        return os.waitstatus_to_exitcode(self.status)


class Sandbox:
    """A sandbox that runs the harness. Not thread-safe."""

    def __init__(self, launcher: Launcher, limits: SandboxLimits, with_driver: bool = False) -> None:
        """Starts the sandbox. Raises SandboxFailed with bubblewrap's message."""
        self.busy, self.spent, self.dirty = False, 0.0, False
        self.isolated = launcher.mode != "none"
        self._folder = tempfile.mkdtemp(prefix="whetstone-unsandboxed-") if launcher.mode == "none" else None
        self.control, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        shipped, filter_fd = (
            _shipped(with_driver, launcher.path()),
            None if self._folder else seccomp.filter_file(),
        )
        processes = 0 if launcher.mode == "none" else limits.processes
        confine = (launcher.uid(), int(launcher.mode != "none"), limits.memory_mb, processes, limits.file_mb)
        try:
            command = launcher.command(
                limits, ["-c", BOOT, *map(str, (inside.fileno(), shipped, *confine))], filter_fd
            )
            keep = [fd for fd in (inside.fileno(), shipped, filter_fd) if fd is not None]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                env=ENVIRONMENT, pass_fds=keep,
                start_new_session=True, cwd=self._folder or "/",
            )  # fmt: skip
        except OSError as error:
            self.control.close()
            self._remove_folder()
            raise SandboxFailed(f"{type(error).__name__}: {error}") from error
        finally:
            inside.close()
            if filter_fd is not None:
                os.close(filter_fd)
        self.control.settimeout(START_SECONDS)
        try:
            ready = self.control.recv(64)
        except OSError:
            ready = b""
        if ready != b"ready":
            message = self._last_words()
            self.kill()
            raise SandboxFailed(message or "the sandbox did not start")

    def start(self, job: Mapping[str, Any], fds: Sequence[int]) -> None:
        """Starts a child with `fds` as its 0, 1, 2 and 3; they stay open here. Raises SandboxFailed where the
        sandbox has ended.
        """
        fd = in_memory(marshal.dumps({**job, "folder": self._folder or "/tmp"}))
        try:
            self.control.settimeout(START_SECONDS)
            socket.send_fds(self.control, [b"job"], [fd, *fds])
            self.busy = True
        except OSError as error:
            raise SandboxFailed(f"the sandbox is gone: {error}") from error
        finally:
            os.close(fd)

    def ended(self, seconds: float) -> ChildExit | None:
        """Returns the child's exit, waiting at most `seconds`; None where it still runs, or the sandbox has
        ended.
        """
        self.control.settimeout(max(0.001, seconds))
        try:
            message = self.control.recv(256)
        except OSError:
            return None
        try:
            status, cpu_seconds, clean = message.split()
            self.busy, self.dirty = False, self.dirty or clean != b"clean"
            self.spent += float(cpu_seconds)
            return ChildExit(int(status), float(cpu_seconds))
        except ValueError:
            return None

    @property
    def pid(self) -> int:
        """The process id of the sandbox's first process, outside of its namespace."""
        return self._process.pid

    def settle(self, seconds: float) -> bool:
        """Returns whether the child ends within `seconds` and left nothing, so that the sandbox can be
        reused.
        """
        return (not self.busy or self.ended(seconds) is not None) and not self.dirty

    def kill(self) -> None:
        """Kills the sandbox and all its processes: a PID namespace ends with its first process. May be
        repeated.
        """
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stderr:
            self._process.stderr.close()
        self.control.close()
        self._remove_folder()

    def _last_words(self) -> str:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        _, message = self._process.communicate()
        return message.decode("utf-8", "replace").strip()[-300:]

    def _remove_folder(self) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def in_memory(content: bytes) -> int:
    """Returns the descriptor of a file in memory with `content`, positioned at its start."""
    fd = os.memfd_create("whetstone")
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


@cache
def _shipped(with_driver: bool, path: str) -> int:
    """Returns a sealed file in memory with the compiled modules, which no sandbox can change."""
    # in the order in which they need each other
    parts = (values, containers, mirrors, wire, driver if with_driver else streams)
    modules = {module.__name__.rpartition(".")[2]: _compiled(module) for module in parts}
    fd = os.memfd_create("harness", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.write(fd, marshal.dumps((_compiled(harness), (modules, path))))
    fcntl.fcntl(
        fd,
        fcntl.F_ADD_SEALS,
        fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL,
    )
    return fd


def _compiled(module: Any) -> Any:
    return compile(
        Path(module.__file__).read_text("utf-8"),
        f"<{module.__name__.rpartition('.')[2]}>",
        "exec",
        dont_inherit=True,
    )
