"""Copies of dvc.lock from the ends of runs, spread over time, and recovery when dvc.lock cannot be read."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from flows.graph import dvc_api
from flows.provenance.snapshot import REFS, NoGit, git
from flows.workspace import STATE
from tasks import durable

GOOD, OLDER = "dvc.lock.good", "locks"  # the last one, and a folder of older ones named by their time
APART_S = (0, 3600, 86400)  # of the older ones the newest of at least each age is kept
COMMITS = 20  # commits and snapshots whose dvc.lock is tried


def keep(root: Path) -> None:
    """Copy dvc.lock as it is after a run. Call it under the repository lock."""
    path, good = root / "dvc.lock", root / STATE / GOOD
    if not path.exists() or dvc_api.check_lock(root) is not None:
        return
    text = path.read_bytes()
    if good.exists() and good.read_bytes() == text:
        return
    if good.exists():
        durable.write(root / STATE / OLDER / f"{int(good.stat().st_mtime)}.lock", good.read_bytes())
    durable.write(good, text)
    _thin_out(root)


def _older(root: Path) -> list[Path]:
    """Returns older copies, newest first."""
    return sorted((root / STATE / OLDER).glob("*.lock"), key=lambda path: int(path.stem), reverse=True)


def _thin_out(root: Path) -> None:
    copies, now = _older(root), time.time()
    retained = {
        next((path for path in copies if now - int(path.stem) >= age), None) for age in APART_S
    } | set(copies[:2])
    for path in copies:
        if path not in retained:
            path.unlink()


def bring_back(root: Path) -> str:
    """Replace dvc.lock by the newest readable copy. Returns a sentence on where it is from, or that there is
    none. Call it under the repository lock.
    """
    for source, text in _candidates(root):
        if dvc_api.lock_problem(text) is None:
            durable.write(root / "dvc.lock", text)
            return (
                f"taken back from {source}, results that are missing in it come from the run cache and from "
                f"the records beside models"
            )
    return (
        "no copy of it can be read; results come back from the run cache and from the records beside models"
    )


def _candidates(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in [root / STATE / GOOD, *_older(root)]:
        if path.exists():
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
            yield f"the copy of {when} ({path.relative_to(root)})", path.read_bytes()
    try:
        refs = git(
            root,
            "for-each-ref",
            "--sort=-committerdate",
            f"--count={COMMITS}",
            "--format=%(objectname)",
            f"{REFS}/",
            "refs/heads/",
        )
        for commit in dict.fromkeys(refs.split()):
            process = subprocess.run(
                ["git", "-C", str(root), "show", f"{commit}:./dvc.lock"], capture_output=True
            )
            if process.returncode == 0:
                yield f"commit {commit[:10]}", process.stdout
    except (NoGit, subprocess.CalledProcessError):
        return


def set_aside(root: Path) -> Path:
    """Move dvc.lock away. Returns its new path."""
    target = root / STATE / "broken" / f"dvc.lock.{int(time.time())}"
    while target.exists():
        target = target.with_name(f"{target.name}+")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(root / "dvc.lock", target)
    return target
