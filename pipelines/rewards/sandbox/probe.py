"""Whether a sandbox works on this machine: starts one and checks it from inside."""

from __future__ import annotations

import os
import shutil
import sys
from functools import cache
from importlib.util import find_spec

from pipelines.rewards.code.code_tests_params import SandboxLimits
from pipelines.rewards.sandbox.launcher import Launcher, Mode, package_paths
from pipelines.rewards.sandbox.runner import Program, Runner
from pipelines.rewards.sandbox.status import Status
from pipelines.settings import ROOT

LIMITS = SandboxLimits(processes=6, memory_mb=256)
# need a display, a database's server, or are Python's own tests
LEFT_OUT = ("_tkinter", "_dbm", "_gdbm", "_test", "_xx", "xx")


def extension_modules() -> list[str]:
    """Returns the standard library's extension modules: those whose C libraries a sandbox might lack."""
    names = sorted(name for name in sys.stdlib_module_names if not name.startswith(LEFT_OUT))
    return [name for name in names if (spec := find_spec(name)) and (spec.origin or "").endswith(".so")]


def self_test_program(modules: list[str]) -> str:
    """Returns a program that prints what is wrong with its sandbox, or `confined`."""
    return f"""
import os, signal, socket
faults = []
for name in {modules!r}:
    try:
        __import__(name)
    except ImportError as error:
        faults.append("%s cannot be imported: %s" % (name, error))
if {str(ROOT)!r} != "/" and os.path.exists({str(ROOT / "pipelines")!r}):
    faults.append("the project is visible")
try:
    # sends nothing: it looks for a route
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.1", 9))
    faults.append("the network is visible")
except OSError:
    pass
children = []
try:
    while len(children) < 20:
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
    faults.append("the number of processes has no limit")
except OSError:
    pass
for child in children:
    os.kill(child, 9)
print("; ".join(faults) or "confined")
"""


SELF_TEST = self_test_program(extension_modules())


class SandboxUnavailable(RuntimeError):
    """No sandbox can be started here, and running programs without one is not allowed."""


@cache
def mode_fault(mode: Mode) -> str:
    """Returns what is wrong with a mode on this machine; "" where it works."""
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed"
    runner = Runner(Launcher(mode), LIMITS)
    try:
        result = runner.run(Program(SELF_TEST, [{"input": "", "output": "confined"}]))
    finally:
        runner.close()
    return "" if result.passed else result.outcomes[0].reason or Status.SANDBOX


@cache
def candidate_modes() -> tuple[Mode, ...]:
    """Returns the modes to try for this user, best first."""
    return ("root", "user") if os.geteuid() == 0 else ("user",)


def working_mode() -> Mode | None:
    """Returns the first mode that works on this machine, or None."""
    return next((mode for mode in candidate_modes() if not mode_fault(mode)), None)


def find_launcher(allow_unsandboxed: bool = False, modules: tuple[str, ...] = ()) -> Launcher:
    """Returns the launcher for this machine. Raises SandboxUnavailable, with what was tried and the remedies,
    where no mode works or `modules` are not installed.
    """
    try:
        package_paths(modules)
    except LookupError as fault:
        raise SandboxUnavailable(str(fault)) from fault
    mode = working_mode()
    if mode is None and not allow_unsandboxed:
        tried = "; ".join(f"as {mode}: {mode_fault(mode)}" for mode in candidate_modes())
        raise SandboxUnavailable(
            f"rewards that run code need a sandbox, and none can be made here ({tried}). Install bubblewrap "
            f"0.7 or newer (apt-get install "
            "bubblewrap) and allow user namespaces or run as root; in a container allow them there (docker "
            "run --privileged, or a seccomp "
            "profile with them). On a machine that may be lost, set allow_unsandboxed: true"
        )
    return Launcher(mode or "none", modules)
