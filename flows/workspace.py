"""The running state of a Whetstone project, below `.whetstone`. It is never an input or an output of a
stage.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import durable

if TYPE_CHECKING:
    from filelock import BaseFileLock

STATE = ".whetstone"


class NotAProject(RuntimeError):
    """The folder is not in a Whetstone project."""


class Busy(RuntimeError):
    """Another run holds the workspace."""


def find_root(start: Path | None = None) -> Path:
    """Returns the nearest folder at or above `start` that holds dvc.yaml and params.yaml. Raises
    NotAProject.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        # a link that leads nowhere is told later
        if all(os.path.lexists(folder / name) for name in ("dvc.yaml", "params.yaml")):
            return folder
    raise NotAProject(
        f"{here}: no dvc.yaml with params.yaml here or above; run this inside a clone of the project"
    )


def write_json(path: Path, value: Any) -> None:
    """Replace the file atomically."""
    durable.write(path, json.dumps(value, indent=1, sort_keys=True, default=str))


def read_json(path: Path) -> Any:
    """Returns the value, or None when the file is missing or truncated."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _kernel_lock(path: Path) -> BaseFileLock:
    """Returns a lock that is tried once and that the kernel releases when its holder dies. It is never the
    mere existence of a file, which a killed holder leaves behind.
    """
    from filelock import FileLock  # 25 ms, which a plan does not need

    return FileLock(path, blocking=False, thread_local=False, fallback_to_soft=False)


@contextmanager
def only_one_run(root: Path) -> Iterator[None]:
    """Hold the workspace for one run; the kernel releases the lock when its holder dies. Raises Busy, which
    names the holder.
    """
    from filelock import Timeout

    path = root / STATE / "run.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _kernel_lock(path)
    try:
        lock.acquire()
    except Timeout:
        holder = path.read_text("utf-8").strip() or "unknown"
        raise Busy(
            f"another run holds this workspace (pid {holder}); wait for it, or stop it with `kill {holder}`"
        ) from None
    try:
        path.write_text(str(os.getpid()), "utf-8")  # the locked file itself: whoever is refused reads it
        yield
    finally:
        lock.release()


@contextmanager
def gpu_slot(root: Path, slots: int, wanted: int, cancelled: Any) -> Iterator[str]:
    """Hold `wanted` of `slots` GPU slots (file locks of the kernel, which need no server and end with their
    holder); yields the value of CUDA_VISIBLE_DEVICES.

    Yields "" at once when no slots are configured or none is wanted. Waits otherwise, until `cancelled` is
    set.
    """
    if not slots or not wanted:
        yield ""
        return
    if wanted > slots:
        raise ValueError(f"the stage wants {wanted} GPUs, execution.gpus is {slots}")
    from filelock import Timeout

    folder = root / STATE / "gpu"
    folder.mkdir(parents=True, exist_ok=True)
    held: dict[int, BaseFileLock] = {}
    try:
        while len(held) < wanted:
            for index in sorted(set(range(slots)) - set(held)):
                lock = _kernel_lock(folder / f"{index}.lock")
                with suppress(Timeout):
                    lock.acquire()
                    held[index] = lock
                if len(held) == wanted:
                    break
            else:  # all or nothing: two stages that each hold half would wait for ever
                _release(held)
                if cancelled.wait(0.05):
                    raise InterruptedError("cancelled while waiting for a GPU slot")
        yield ",".join(map(str, sorted(held)))
    finally:
        _release(held)


def _release(held: dict[int, BaseFileLock]) -> None:
    for lock in held.values():
        lock.release()
    held.clear()
