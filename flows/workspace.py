"""Where a Whetstone project keeps its running state: below `.whetstone`, never an input or an output of a
stage.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks import durable

STATE = ".whetstone"


class NotAProject(RuntimeError):
    """The folder is no Whetstone project."""


class Busy(RuntimeError):
    """Another run holds the workspace."""


def find_root(start: Path | None = None) -> Path:
    """The nearest folder at or above `start` that holds dvc.yaml and params.yaml."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        # a link that leads nowhere is told later
        if all(os.path.lexists(folder / name) for name in ("dvc.yaml", "params.yaml")):
            return folder
    raise NotAProject(
        f"{here}: no dvc.yaml with params.yaml here or above; run this inside a clone of the project"
    )


def write_json(path: Path, value: Any) -> None:
    """Replace the file, whole or not at all."""
    durable.write(path, json.dumps(value, indent=1, sort_keys=True, default=str))


def read_json(path: Path) -> Any:
    """The value, or None when the file is missing or cut short."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


@contextmanager
def only_one_run(root: Path) -> Iterator[None]:
    """One run per workspace; the kernel frees the lock when its holder dies. Raises Busy naming the
    holder.
    """
    path = root / STATE / "run.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().strip() or "unknown"
            raise Busy(
                f"another run holds this workspace (pid {holder}); wait for it, or stop it with `kill "
                f"{holder}`"
            ) from None
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


@contextmanager
def gpu_slot(root: Path, slots: int, wanted: int, cancelled: Any) -> Iterator[str]:
    """Hold `wanted` of `slots` GPU slots (kernel file locks: they need no server and die with their holder);
    yields CUDA_VISIBLE_DEVICES.

    Yields "" at once when no slots are configured or none is wanted. Waits otherwise, until `cancelled` is
    set.
    """
    if not slots or not wanted:
        yield ""
        return
    if wanted > slots:
        raise ValueError(f"the stage wants {wanted} GPUs, execution.gpus is {slots}")
    folder = root / STATE / "gpu"
    folder.mkdir(parents=True, exist_ok=True)
    held: dict[int, Any] = {}
    try:
        while len(held) < wanted:
            for index in range(slots):
                if index in held or len(held) == wanted:
                    continue
                stream = open(folder / f"{index}.lock", "a+")
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    held[index] = stream
                except BlockingIOError:
                    stream.close()
            if len(held) < wanted:
                # all or nothing: two stages that each hold half would wait for ever
                for stream in held.values():
                    stream.close()
                held.clear()
                if cancelled.wait(0.05):
                    raise InterruptedError("cancelled while waiting for a GPU slot")
        yield ",".join(map(str, sorted(held)))
    finally:
        for stream in held.values():
            stream.close()
