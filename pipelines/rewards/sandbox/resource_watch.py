"""Measures running sandboxes from outside, every PERIOD: what all processes of a program use together, and
whether it runs.

Limits are on CPU time, not on wall time: waiting for a processor does not count. Idle time (no process wants
to run) has a limit of its own. The kernel limits each process (`harness.confine`); memory, files and CPU time
of all processes together are checked here, so a program may exceed them for up to one PERIOD.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.rewards.code.code_tests_params import SandboxLimits
from pipelines.rewards.sandbox.process import Sandbox, SandboxFailed
from pipelines.rewards.sandbox.status import Status, TestOutcome

PERIOD = 0.05  # seconds
PATIENCE = 10  # times wall_seconds: for a program that gets no CPU time
OWN_CPU = 0.1  # CPU seconds of the sandbox itself
MIB = 2**20
PAGE, TICKS = os.sysconf("SC_PAGESIZE"), os.sysconf("SC_CLK_TCK")
RUNNING = ("R",)  # not D: a program can put itself there for good, with vfork


class Stopped(Exception):
    """The program exceeded a limit."""

    def __init__(self, outcome: TestOutcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class Starved(SandboxFailed):
    """The machine was too busy to judge the program."""


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """A process. `cpu`: seconds, including its ended children; `resident`: bytes, with shared
    ones in full.
    """

    pid: int
    parent: int
    state: str
    threads: int
    cpu: float
    resident: int

    @property
    def runs(self) -> bool:
        """Whether one of its threads is running or runnable."""
        if self.state in RUNNING or self.threads == 1:
            return self.state in RUNNING
        try:
            return any(
                _fields(f"/proc/{self.pid}/task/{thread}/stat")[0] in RUNNING
                for thread in os.listdir(f"/proc/{self.pid}/task")
            )
        except OSError:
            return True


class ResourceWatch:
    """The resources of one test. `channels`: descriptors; while one can be read, the program waits for this
    process, and is not idle.
    """

    def __init__(
        self, program: Sandbox, limits: SandboxLimits, left: float, judge: Sandbox | None = None
    ) -> None:
        self._program, self._limits = program, limits
        self._sandboxes = [program, *([judge] if judge else [])]
        self._allowed_cpu, self._allowed_idle = min(limits.test_seconds, left), min(limits.wall_seconds, left)
        self._foreign: set[int] = set()
        self._began = self._last = time.monotonic()
        self._spent_before = program.spent
        self.channels: list[int] = []
        self.idle = self.cpu = 0.0

    def add(self, judge: Sandbox) -> None:
        self._sandboxes.append(judge)
        self._foreign.clear()

    def charged(self) -> float:
        """Returns the seconds charged to the program: CPU and idle time, without waiting for a processor."""
        used = max(self.cpu, self._program.spent - self._spent_before)
        return min(time.monotonic() - self._began, used + self.idle + PERIOD)

    def look(self) -> None:
        """Raises Stopped where a limit is exceeded, Starved where the program gets no CPU time. Measures at
        most once per PERIOD.
        """
        now = time.monotonic()
        passed = now - self._last
        if passed < PERIOD:
            return
        self._last = now
        by_sandbox = self._processes()
        self._check_time(by_sandbox, passed, now)
        for sandbox, processes in zip(self._sandboxes, by_sandbox, strict=True):
            self._check_memory(processes)
            self._check_files(sandbox, processes)

    def _check_time(self, by_sandbox: Sequence[Sequence[ProcessUsage]], passed: float, now: float) -> None:
        limits = self._limits
        self.cpu = max(0.0, sum(process.cpu for process in by_sandbox[0]) - self._spent_before - OWN_CPU)
        if self.cpu > self._allowed_cpu:
            raise Stopped(TestOutcome(Status.TIMEOUT, f"{self.cpu:.1f} s of CPU time"))
        if (
            not any(process.runs for processes in by_sandbox for process in processes)
            and not self._our_turn()
        ):
            self.idle += passed
        if self.idle > self._allowed_idle:
            raise Stopped(TestOutcome(Status.TIMEOUT, f"slept or waited for {self.idle:.1f} s"))
        if now - self._began > PATIENCE * limits.wall_seconds:
            raise Starved(
                f"the machine is too busy: {self.cpu:.1f} s of CPU time for it in {now - self._began:.0f} s"
            )

    def _our_turn(self) -> bool:
        return bool(self.channels) and bool(select.select(self.channels, [], [], 0)[0])

    def _check_memory(self, processes: Sequence[ProcessUsage]) -> None:
        most = self._limits.memory_mb * MIB
        if sum(process.resident for process in processes) > most and all(
            sum(map(_proportional, processes)) > most for _ in range(2)
        ):
            raise Stopped(
                TestOutcome(
                    Status.RUNTIME, f"more than {self._limits.memory_mb} MiB of memory in all its processes"
                )
            )

    def _check_files(self, sandbox: Sandbox, processes: Sequence[ProcessUsage]) -> None:
        if not sandbox.isolated or not processes:
            return
        for place in ("tmp", "dev/shm"):
            try:
                usage = os.statvfs(f"/proc/{processes[-1].pid}/root/{place}")
            except OSError:
                continue
            if usage.f_files - usage.f_ffree > self._limits.files:
                raise Stopped(
                    TestOutcome(Status.RUNTIME, f"more than {self._limits.files} files and folders")
                )

    def _processes(self) -> list[list[ProcessUsage]]:
        """Returns the processes of each sandbox, parents before children. Processes of none are not read
        again.
        """
        by_sandbox: list[list[ProcessUsage]] = [[] for _ in self._sandboxes]
        owners = {sandbox.pid: place for place, sandbox in enumerate(self._sandboxes)}
        known = [
            process
            for pid in sorted(map(int, filter(str.isdigit, os.listdir("/proc"))))
            if pid not in self._foreign and (process := _process(pid))
        ]
        # again for numbers that began anew: a child may have a smaller one than its parent
        for _ in range(2):
            others = []
            for process in known:
                owner = owners.get(process.pid, owners.get(process.parent))
                if owner is None:
                    others.append(process)
                else:
                    owners[process.pid] = owner
                    by_sandbox[owner].append(process)
            known = others
        self._foreign.update(process.pid for process in known)
        return by_sandbox


def _process(pid: int) -> ProcessUsage | None:
    try:
        fields = _fields(f"/proc/{pid}/stat")
    except OSError:
        return None
    cpu = sum(map(int, fields[11:15])) / TICKS
    return ProcessUsage(pid, int(fields[1]), fields[0], int(fields[17]), cpu, int(fields[21]) * PAGE)


def _fields(path: str) -> list[str]:
    """Returns the fields of a stat file from the state on; the name before it may have spaces and
    brackets.
    """
    return Path(path).read_text("ascii", "replace").rpartition(")")[2].split()


def _proportional(process: ProcessUsage) -> int:
    """Returns the proportional set size in bytes; the resident size where the kernel does not give it.
    Callers measure twice: a process that ends during a measurement leaves its share to others, which is then
    counted twice.
    """
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii").splitlines()
    except PermissionError:
        return process.resident
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
