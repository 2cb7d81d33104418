"""Cleaning up after a killed run: DVC's lock entries of dead processes, an unreadable dvc.lock, and runs that
Prefect still shows as running.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil

from flows.graph import dvc_api, dvc_leftovers
from flows.running import good_locks
from flows.workspace import STATE, read_json, write_json

OWNER = "owner.json"


def claim(root: Path, run: str) -> None:
    """Record who owns the current run. The Prefect runs of dead owners stay recorded until `mend_prefect` has
    marked them.
    """
    process = psutil.Process()
    write_json(
        root / STATE / OWNER,
        {"run": run, "pid": process.pid, "started": process.create_time(), "unmended": unmended(root)},
    )


def unmended(root: Path) -> list[str]:
    """Returns the ids of flow runs whose process died and which Prefect may still show as running."""
    owner = read_json(root / STATE / OWNER) or {}
    return [*owner.get("unmended", []), *([owner["prefect"]] if owner.get("prefect") else [])]


def claim_prefect(root: Path, flow_run: str) -> None:
    owner = read_json(root / STATE / OWNER) or {}
    write_json(root / STATE / OWNER, {**owner, "prefect": flow_run})


def release(root: Path) -> None:
    """Note that the run has ended by itself."""
    unmended_runs = (read_json(root / STATE / OWNER) or {}).get("unmended")
    if unmended_runs:
        write_json(root / STATE / OWNER, {"unmended": unmended_runs})
    else:
        (root / STATE / OWNER).unlink(missing_ok=True)


def dead_owner(root: Path) -> dict[str, Any] | None:
    """Returns the last run's owner if it ended without releasing the workspace."""
    owner = read_json(root / STATE / OWNER)
    if not owner or "pid" not in owner:
        return None
    try:
        alive = abs(psutil.Process(owner["pid"]).create_time() - owner["started"]) < 1
    except psutil.NoSuchProcess:
        alive = False
    return None if alive else owner


def rwlock_cut_short(root: Path) -> bool:
    """Returns whether DVC's reader/writer lock file is truncated. DVC writes it in place, so a kill, also of
    a bare `dvc`, can do that.
    """
    path = root / ".dvc" / "tmp" / "rwlock"
    return path.exists() and read_json(path) is None


def lock_emptied(root: Path) -> bool:
    """Returns whether dvc.lock is empty, which DVC would take for a project that was never run."""
    path = root / "dvc.lock"
    return path.exists() and path.stat().st_size == 0


def mend_files(root: Path) -> list[str]:
    """Repair DVC's own files. Returns what was done, for people. Call it while holding the workspace."""
    messages = []
    with dvc_api.locked_repo(root) as repo:
        try:
            dropped = dvc_leftovers.drop_dead_locks(repo)
        except dvc_api.dvc_error():
            os.unlink(os.path.join(repo.tmp_dir, "rwlock"))  # see rwlock_cut_short
            dropped = 1
        if dropped:
            messages.append(f"cleared {dropped} lock entries of processes that are gone")
        dvc_leftovers.drop_partial_objects(repo)
        broken = dvc_api.check_lock(root)
        if broken:
            target = good_locks.set_aside(root)
            messages.append(
                f"dvc.lock could not be read ({broken}); moved to {target.relative_to(root)}; "
                f"{good_locks.bring_back(root)}"
            )
    return messages


def keep_good_lock(root: Path) -> None:
    """Copy dvc.lock as it is after a run."""
    with dvc_api.locked_repo(root):
        good_locks.keep(root)


def mend_prefect(root: Path) -> None:
    """Mark the flow and task runs of dead runs as crashed; Prefect's server would show them as running for
    ever.
    """
    owner = read_json(root / STATE / OWNER) or {}
    for flow_run in owner.get("unmended", []):
        _crashed(flow_run)
    write_json(root / STATE / OWNER, {**owner, "unmended": []})


def _crashed(flow_run_id: str) -> None:
    from uuid import UUID

    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Crashed

    identifier = UUID(flow_run_id)
    with get_client(sync_client=True) as client:
        try:
            flow_run = client.read_flow_run(identifier)
        except ObjectNotFound:
            return
        crashed: Any = Crashed(message="the process that ran it is gone")
        for task_run in client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[identifier]))
        ):
            if task_run.state is not None and not task_run.state.is_final():
                client.set_task_run_state(task_run.id, crashed, force=True)
        if flow_run.state is not None and not flow_run.state.is_final():
            client.set_flow_run_state(identifier, crashed, force=True)
