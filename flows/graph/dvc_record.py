"""One run of a stage in DVC's terms: its inputs are pinned and compared, its outputs recorded, its paths
locked.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from flows.graph.dvc_api import CODE_STAGE, is_params
from flows.graph.dvc_run_cache import dump
from flows.graph.stage_records import flatten


def missing_inputs(stage: Any) -> list[str]:
    """Returns the declared input paths that do not exist."""
    return [dep.def_path for dep in stage.deps if not is_params(dep) and not dep.exists]


def pin(stage: Any) -> dict[str, tuple[Any, Any]]:
    """Hash the present inputs. Returns {path: (hash, meta)}; raises FileNotFoundError, which names the
    missing ones.
    """
    missing = missing_inputs(stage)
    if missing:
        raise FileNotFoundError(
            f"its input {', '.join(missing)} is missing; bring it back, or correct the path in params.yaml "
            f"or dvc.yaml"
        )
    stage.save_deps()
    return {dep.def_path: (dep.hash_info, dep.meta) for dep in stage.deps}


def changed_inputs(stage: Any, pinned: dict[str, tuple[Any, Any]]) -> list[str]:
    """Returns the names of inputs whose content differs from the pinned one; of parameters the keys."""
    from dvc.exceptions import DvcException

    changed = []
    for dep in stage.deps:
        before = pinned[dep.def_path][0]
        # an input that the recorded result did not have is loaded with DVC 2's kind of hash, and pinned with
        # today's
        dep.update_legacy_hash_name(force=True)
        try:
            current = dep.get_hash()
        except (DvcException, OSError) as error:
            changed.append(f"{dep.def_path} ({error})")
            continue
        if current == before:
            continue
        if is_params(dep):
            old, new = flatten(before.value), flatten(current.value)
            keys = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
            for key in keys:
                _, _, setting = key.partition(".settings.")  # of an entry of code.lock.json
                changed.append(f"params.yaml:{setting}" if setting else f"{dep.def_path}:{key}")
        else:
            changed.append(dep.def_path)
    return changed


def record(repo: Any, stage: Any, pinned: dict[str, tuple[Any, Any]], command: Any) -> dict[str, str]:
    """Write the outputs into the cache, the run cache and dvc.lock, with the inputs that were pinned. Returns
    {path: digest}.
    """
    stage.cmd = command
    stage.save_deps()
    for dep in stage.deps:
        dep.hash_info, dep.meta = pinned[dep.def_path]
    stage.save_outs()
    stage.md5 = stage.compute_md5()
    stage.cmd_changed = False
    repo.stage_cache.save(stage)
    stage.commit()
    dump(repo, stage)
    return {out.def_path: out.hash_info.value for out in stage.outs}


def record_code_stage(repo: Any) -> None:
    """Record code.lock.json, which was written in-process, in dvc.lock, so that `dvc status` finds its stage
    fresh.
    """
    stage = next(stage for stage in repo.index.stages if stage.addressing == CODE_STAGE)
    if stage.changed():
        stage.save(run_cache=False)
        dump(repo, stage)


@contextlib.contextmanager
def stage_lock(repo: Any, stage: Any) -> Iterator[None]:
    """Hold DVC's reader/writer lock on the stage's paths, so that a concurrent `dvc repro` is refused."""
    from dvc.rwlock import rwlock

    reads = [dep.fs_path for dep in stage.deps if not is_params(dep)]
    writes = [out.fs_path for out in stage.outs]
    # the name that DVC's own calls in this process use, so that they pass their own lock
    name = " ".join(sys.argv)
    with rwlock(repo.tmp_dir, repo.fs, name, reads, writes, repo.config["core"].get("hardlink_lock", False)):
        yield
