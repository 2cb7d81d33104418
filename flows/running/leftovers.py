"""Processes and folders left by stages whose runner is gone. Two runs of a stage in one work directory would
damage its checkpoint.

A stage's processes have the path of their specification in WHETSTONE_SPEC. A process of this kind that the
holder of the workspace (`only_one_run`) has not started itself is a leftover, whatever was killed before.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from flows.workspace import STATE
from tasks.stage import TOKENS

VARIABLE = "WHETSTONE_SPEC"
LIFELINE = "lifeline.py"
KEPT_S = 14 * 86400  # token ids of a set for a model (pipelines/corpora/records/token_cache.py)
GONE = ".gone"  # suffix of a work directory that is being removed


def find(work: Path) -> list[psutil.Process]:
    """Returns the living processes whose specification lies below `work`."""
    return list(_below(str(work.resolve()) + "/"))


def _below(prefix: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get(VARIABLE, "").startswith(prefix)
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                yield process
        except (psutil.Error, OSError):
            continue  # it ended while we looked, or belongs to somebody else


def end(work: Path) -> int:
    """Wait for lifelines that are stopping their stage (which may be writing a checkpoint), and kill the
    other processes. Returns their number.
    """
    processes = find(work)
    deadline = time.monotonic() + max((_grace(process) for process in processes), default=0)
    while time.monotonic() < deadline and any(_grace(process) for process in processes):
        time.sleep(0.1)
        processes = find(work)
    ended = 0
    while processes:  # a killed one may have started another meanwhile
        for process in processes:
            try:
                process.kill()
                ended += 1
            except psutil.NoSuchProcess:
                pass
        psutil.wait_procs(processes, timeout=5)
        processes = find(work)
    return ended


def end_all(root: Path) -> int:
    """End the processes that dead runs of this project left, and finish removing their folders. Returns the
    number of processes.

    Call it while holding the workspace, before anything is started.
    """
    work = root / STATE / "work"
    ended = end(work)
    for folder in work.glob(f"*{GONE}"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in _idle(root / STATE / TOKENS):
        shutil.rmtree(folder, ignore_errors=True)
    return ended


def _idle(cache: Path) -> list[Path]:
    """Returns the entries of a cache that nothing has read for `KEPT_S`; their content can be computed
    again.
    """
    if not cache.is_dir():
        return []
    oldest = time.time() - KEPT_S
    return [folder for folder in cache.iterdir() if folder.is_dir() and folder.stat().st_mtime < oldest]


def _grace(process: psutil.Process) -> float:
    """Returns the seconds that a lifeline may still need; 0 for any other process."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return 0.0
    for index, word in enumerate(words[:-1]):
        if word.endswith(f"/{LIFELINE}"):
            return float(words[index + 1]) + 6
    return 0.0
