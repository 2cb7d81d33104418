"""Finding and removing what interrupted runs and undeclared stages leave in DVC's folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flows.graph.dvc_api import is_params, is_pipeline_stage, lock_entries


def drop_partial_objects(repo: Any) -> int:
    """Remove the partial files of interrupted copies from the cache: DVC writes objects under `.….tmp` names
    and never reads those again. Returns their number.
    """
    folder = Path(repo.cache.local.path)
    partial = list(folder.glob("??/.*.tmp")) if folder.is_dir() else []
    for path in partial:
        path.unlink(missing_ok=True)
    return len(partial)


def drop_dead_locks(repo: Any) -> int:
    """Remove reader/writer lock entries whose process has ended, or whose pid now belongs to another command
    (containers, reboots). Returns their number.
    """
    import psutil
    from dvc.rwlock import _edit_rwlock

    def dead(entry: dict[str, Any]) -> bool:
        try:
            argv = psutil.Process(entry["pid"]).cmdline()
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False
        words = entry["cmd"].split()
        return not words or not any(os.path.basename(words[0]) == os.path.basename(arg) for arg in argv)

    dropped = 0
    with _edit_rwlock(repo.tmp_dir, repo.fs, repo.config["core"].get("hardlink_lock", False)) as lock:
        for path in list(lock["read"]):
            alive = [entry for entry in lock["read"][path] if not dead(entry)]
            dropped += len(lock["read"][path]) - len(alive)
            if alive:
                lock["read"][path] = alive
            else:
                del lock["read"][path]
        for path in list(lock["write"]):
            if dead(lock["write"][path]):
                del lock["write"][path]
                dropped += 1
    return dropped


def prune_orphans(repo: Any) -> None:
    """Remove the orphans. DVC leaves them in place, and the digest of the folder would change with them."""
    for path in orphans(repo):
        os.unlink(path)


def orphans(repo: Any, entries: dict[str, Any] | None = None) -> list[str]:
    """Returns the absolute paths of orphans: outputs of stages that are no longer declared, inside a folder
    that a stage reads as a whole.

    An example is a file in `metrics/` after its method was removed. Only outputs that dvc.lock records and
    the cache holds count, so removing them loses nothing.
    """
    stages = [stage for stage in repo.index.stages if is_pipeline_stage(stage)]
    if not stages:
        return []
    entries = lock_entries(repo) if entries is None else entries
    live = {out.def_path for stage in stages for out in stage.outs}
    folders = {
        dep.def_path
        for stage in stages
        for dep in stage.deps
        if not is_params(dep) and os.path.isdir(dep.fs_path)
    }
    folders = {folder for folder in folders if any(path.startswith(folder + "/") for path in live)}
    paths = []
    declared_names = {stage.name for stage in stages}
    for name, entry in entries.items():
        for out in entry.get("outs", []) if name not in declared_names else []:
            path, digest = out["path"], out.get("md5", "")
            target = os.path.join(repo.root_dir, path)
            inside = any(path.startswith(folder + "/") for folder in folders)
            cached = (
                os.path.exists(os.path.join(repo.cache.local.path, digest[:2], digest[2:]))
                if digest
                else False
            )
            if path not in live and inside and cached and os.path.isfile(target):
                paths.append(target)
    return paths
