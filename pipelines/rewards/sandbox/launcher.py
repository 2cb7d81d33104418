"""The command that starts a sandbox: bubblewrap with nothing of the machine in it but Python's standard library and the C libraries.

Two modes. `user`: a user namespace, for whoever may make one. `root`: no user namespace; the harness gives itself a fresh user instead,
because the kernel counts no processes of root, and a fork bomb would have no limit. `none`: only with `allow_unsandboxed`.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Literal

from pipelines.rewards.code_tests_params import SandboxLimits
from pipelines.settings import ROOT

Mode = Literal["root", "user", "none"]
MIB = 2**20
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
LINKER_CACHE = "/etc/ld.so.cache"
ENVIRONMENT = {"PATH": "/usr/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
PYTHON = ("-s", "-S", "-P", "-B", "-X", "utf8")
NAMESPACES = ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "sandbox")
# what makes the memory killer take a sandbox before anything else on the machine
FIRST_TO_DIE = ("/bin/sh", "-c", 'echo 1000 2>/dev/null >/proc/self/oom_score_adj; exec "$@"', "sh")


def python() -> str:
    """The interpreter itself, not a virtual environment's link to it."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


@dataclass(frozen=True)
class Launcher:
    """How sandboxes are started on this machine."""

    mode: Mode

    def uid(self) -> int:
        """A user that nobody else is, as far as chance goes; 0: stay who you are."""
        if self.mode != "root":
            return 0
        first, count = _largest_uid_range()
        return first + count // 4 + SystemRandom().randrange(count // 2)

    def command(self, limits: SandboxLimits, inside: Sequence[str], filter_fd: int | None) -> list[str]:
        """`inside`: arguments of the interpreter."""
        run = [python(), *PYTHON, *inside]
        if self.mode == "none":
            return run
        bubblewrap = shutil.which("bwrap") or "bwrap"
        wrap = [bubblewrap, *NAMESPACES, "--die-with-parent", "--new-session"]
        if self.mode == "user":
            wrap += ["--unshare-user", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"]
        else:
            wrap += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        wrap += [*_files(), "--dev", "/dev", "--remount-ro", "/dev"]
        wrap += ["--perms", "1777", "--size", str(limits.tmp_mb * MIB), "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp"]
        if filter_fd is not None:
            wrap += ["--seccomp", str(filter_fd)]
        return [*FIRST_TO_DIE, *wrap, "--", *run]


def _files() -> list[str]:
    """Read-only mounts: the standard library without its site-packages, the interpreter, the C libraries; the project is masked."""
    paths = sysconfig.get_paths()
    shown = [python(), paths["stdlib"], paths["platstdlib"], *_libpython()]
    options, visible = [], []
    for name in LIBRARIES:
        path = Path(name)
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), name]
        elif path.is_dir():
            options += ["--ro-bind", name, name]
            visible.append(path)
    if Path(LINKER_CACHE).exists():
        options += ["--ro-bind", LINKER_CACHE, LINKER_CACHE]
    for path in dict.fromkeys(Path(item).resolve() for item in shown):
        if not any(path.is_relative_to(folder) for folder in visible):
            for parent in [*path.parents][-2::-1]:  # made here, or they would be as closed as the originals are
                options += ["--dir", str(parent)]
            options += ["--ro-bind", str(path), str(path)]
            visible.append(path)
    hidden = [f"{paths['stdlib']}/site-packages", f"{paths['stdlib']}/dist-packages", "/usr/lib/python3/dist-packages", str(ROOT)]
    for path in dict.fromkeys(Path(item).resolve() for item in hidden):
        if path.is_dir() and any(path.is_relative_to(folder) for folder in visible):
            options += ["--tmpfs", str(path), "--remount-ro", str(path)]
    return options


def _libpython() -> list[str]:
    folder, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
    found = Path(str(folder)) / str(name)
    return [str(found)] if sysconfig.get_config_var("Py_ENABLE_SHARED") and found.exists() else []


def _largest_uid_range() -> tuple[int, int]:
    """(first, count) of the users that exist in this user namespace, the 16 bits of ordinary users left out where there are more."""
    rows = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text("ascii").splitlines()]
    first, _, count = max(rows, key=lambda row: row[2])
    return (2**20, min(count, 2**31) - 2**20) if count > 2**21 else (first, count)
