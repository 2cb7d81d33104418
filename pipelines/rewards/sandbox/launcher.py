"""The command that starts a sandbox: bubblewrap, with only Python's standard library and the C libraries
visible.

Modes. `user`: in a user namespace. `root`: without one; the harness switches to an unused user instead,
because the kernel does not limit root's number of processes. `none`: no isolation, only with
`allow_unsandboxed`.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, PackagePath, distribution
from pathlib import Path
from random import SystemRandom
from typing import Literal

from pipelines.rewards.code.code_tests_params import SandboxLimits
from pipelines.settings import ROOT

Mode = Literal["root", "user", "none"]
MIB = 2**20
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
LINKER_CACHE = "/etc/ld.so.cache"
# else numpy reserves memory for each core
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
ENVIRONMENT = {"PATH": "/usr/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", **ONE_THREAD}
PACKAGES = "/packages"  # inside: what `modules` names of this environment
PYTHON = ("-s", "-S", "-P", "-B", "-X", "utf8")
NAMESPACES = (
    "--unshare-pid",
    "--unshare-net",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--hostname",
    "sandbox",
)
# what makes the memory killer take a sandbox before anything else on the machine
FIRST_TO_DIE = ("/bin/sh", "-c", 'echo 1000 2>/dev/null >/proc/self/oom_score_adj; exec "$@"', "sh")


def python() -> str:
    """Returns the path of the interpreter itself, not of a virtual environment's link."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


@dataclass(frozen=True)
class Launcher:
    """How sandboxes are started on this machine."""

    mode: Mode
    # distributions that programs and tests may import beside the standard library
    modules: tuple[str, ...] = ()

    def path(self) -> str:
        """Returns the folders of `modules` as seen inside, joined by os.pathsep; "" without any. In mode
        `none` they are those of this machine.
        """
        if not self.modules:
            return ""
        return (
            PACKAGES
            if self.mode != "none"
            else os.pathsep.join(sorted({str(place.parent) for place in package_paths(self.modules)}))
        )

    def uid(self) -> int:
        """Returns a random unused user id; 0 to keep the current user."""
        if self.mode != "root":
            return 0
        first, count = _largest_uid_range()
        return first + count // 4 + SystemRandom().randrange(count // 2)

    def command(self, limits: SandboxLimits, inside: Sequence[str], filter_fd: int | None) -> list[str]:
        """Returns the command. `inside`: arguments of the interpreter."""
        run = [python(), *PYTHON, *inside]
        if self.mode == "none":
            return run
        bubblewrap = shutil.which("bwrap") or "bwrap"
        wrap = [bubblewrap, *NAMESPACES, "--die-with-parent", "--new-session"]
        if self.mode == "user":
            wrap += ["--unshare-user", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"]
        else:
            wrap += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        wrap += [*_files(self.modules), "--dev", "/dev", *_writable("/dev/shm", MIB), "--remount-ro", "/dev"]
        wrap += [*_writable("/tmp", limits.tmp_mb * MIB), "--remount-ro", "/", "--chdir", "/tmp"]
        if filter_fd is not None:
            wrap += ["--seccomp", str(filter_fd)]
        return [*FIRST_TO_DIE, *wrap, "--", *run]


def _writable(place: str, size: int) -> list[str]:
    return ["--perms", "1777", "--size", str(size), "--tmpfs", place]


def package_paths(names: Sequence[str]) -> list[Path]:
    """Returns the top-level folders and files of installed distributions, in the order of `names`. Raises
    LookupError with the names that are not installed.
    """
    paths: dict[Path, None] = {}
    missing = []
    for name in names:
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:
            missing.append(name)
            continue
        tops = {
            Path(str(file.locate())).parent.resolve() / file.name if len(file.parts) == 1 else _top(file)
            for file in files
            if ".." not in file.parts
        }
        paths |= dict.fromkeys(sorted(path for path in tops if path.exists() and path.name != "__pycache__"))
    if missing:
        raise LookupError(
            f"{', '.join(missing)} of `modules` not installed here: pip install {' '.join(missing)}, or take "
            f"it out of `modules`"
        )
    return list(paths)


def _top(file: PackagePath) -> Path:
    return Path(str(file.locate())).resolve().parents[len(file.parts) - 2]


@cache
def _files(modules: tuple[str, ...]) -> list[str]:
    """Returns the options for read-only mounts: the interpreter, the standard library without site-packages,
    the C libraries, and the packages `modules`. The project is masked. Parent folders are given explicitly,
    since bubblewrap would create them closed to all but root.
    """
    base = {
        "base": sys.base_prefix,
        "platbase": sys.base_exec_prefix,
        "installed_base": sys.base_prefix,
        "installed_platbase": sys.base_exec_prefix,
    }
    paths = sysconfig.get_paths(vars=base)
    shown = [python(), paths["stdlib"], paths["platstdlib"], *_libpython()]
    options: list[str] = []
    visible: list[Path] = []
    for name in LIBRARIES:
        path = Path(name)
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), name]
        elif path.is_dir():
            options += [*_parents(path), "--ro-bind", name, name]
            visible.append(path)
    if Path(LINKER_CACHE).exists():
        options += [*_parents(Path(LINKER_CACHE)), "--ro-bind", LINKER_CACHE, LINKER_CACHE]
    for path in dict.fromkeys(Path(item).resolve() for item in shown):
        if not any(path.is_relative_to(folder) for folder in visible):
            options += [*_parents(path), "--ro-bind", str(path), str(path)]
            visible.append(path)
    hidden = [
        f"{paths['stdlib']}/site-packages",
        f"{paths['stdlib']}/dist-packages",
        "/usr/lib/python3/dist-packages",
        str(ROOT),
    ]
    for path in dict.fromkeys(Path(item).resolve() for item in hidden):
        if path.is_dir() and any(path.is_relative_to(folder) for folder in visible):
            options += ["--tmpfs", str(path), "--remount-ro", str(path)]
    for path in package_paths(modules):
        options += ["--perms", "0755", "--dir", PACKAGES, "--ro-bind", str(path), f"{PACKAGES}/{path.name}"]
    return options


def _parents(path: Path) -> list[str]:
    return [
        option for parent in [*path.parents][-2::-1] for option in ("--perms", "0755", "--dir", str(parent))
    ]


def _libpython() -> list[str]:
    folder, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
    library = Path(str(folder)) / str(name)
    return [str(library)] if sysconfig.get_config_var("Py_ENABLE_SHARED") and library.exists() else []


def _largest_uid_range() -> tuple[int, int]:
    """Returns (first, count) of the user ids in this user namespace, above those of ordinary users (2^20)
    where there are enough.
    """
    rows = [
        tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text("ascii").splitlines()
    ]
    first, _, count = max(rows, key=lambda row: row[2])
    return (2**20, min(count, 2**31) - 2**20) if count > 2**21 else (first, count)
