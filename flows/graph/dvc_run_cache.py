"""DVC's run cache, restricted to intact entries: DVC itself trusts the newest file of a folder, whatever it
contains.

It uses private API of dvc 3.67, as dvc_api.py does, covered by tests/flows/test_dvc_contract.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flows.graph.stage_records import (
    RUN_CACHE,
    WORKTREE,
    RecordJudgement,
    RunCache,
    Witnesses,
    lineage_differences,
    mapping,
    read_entry,
)
from flows.graph.verified import Verified
from tasks import durable
from tasks.checkpoint_lineage import NAME
from tasks.content import dvc_object, file_digest, folder_links, listed


def witnesses(repo: Any) -> Witnesses:
    """Returns the records that this project's dvc.lock is compared with."""
    return Witnesses(Path(repo.root_dir), Path(repo.stage_cache.cache_dir).parent)


def verified(repo: Any) -> Verified:
    """Returns the record of which outputs and objects of this project have been verified."""
    return Verified(Path(repo.root_dir), Path(repo.stage_cache.cache_dir).parent)


def intact_entries_only(repo: Any) -> None:
    """Restrict DVC's own calls to entries whose name is the hash of their content. A damaged file stays until
    it is overwritten.
    """
    cache = repo.stage_cache

    def load_cache(key: str, value: str) -> Mapping[str, Any] | None:
        run_cache = RunCache(Path(cache.cache_dir).parent)
        return run_cache.read(run_cache.place(key, value))

    def load(stage: Any) -> Mapping[str, Any] | None:
        from dvc.stage.cache import _get_stage_hash

        return next(_trusted(repo, stage.name, _get_stage_hash(stage)), None)

    cache._load_cache, cache._load = load_cache, load


def _trusted(repo: Any, name: str, key: str) -> Iterator[Mapping[str, Any]]:
    """Yields the entries under a key, newest first, whose lineage.json does not contradict them and whose
    objects are intact.
    """
    records, checked = witnesses(repo), verified(repo)
    for _, row in records.run_cache.newest(key):
        entry = read_entry(name, row, RUN_CACHE)
        if not records.judge(entry).differences and not any(
            checked.damaged_objects(digest) for digest in entry.outs.values()
        ):
            checked.save()
            yield row


def judge(repo: Any, name: str, row: Mapping[str, Any]) -> RecordJudgement:
    """Returns how other records of the run compare with `row`, its entry in dvc.lock."""
    return witnesses(repo).judge(read_entry(name, row, WORKTREE))


def run_cache_entry(repo: Any, stage: Any) -> Any | None:
    """Returns a stage object filled from the newest run-cache entry for the (predicted) inputs of `stage`
    whose outputs are all cached; None without one.
    """
    from dvc.stage.cache import _get_cache_hash
    from dvc.stage.serialize import to_single_stage_lockfile

    local = all(dep.protocol == "local" and dep.def_path for dep in stage.deps)
    cacheable = all(
        out.protocol == "local" and out.def_path and not out.persist and out.is_in_repo for out in stage.outs
    )
    if (
        not (stage.cmd and stage.deps and stage.outs and local and cacheable)
        or stage.is_callback
        or stage.always_changed
    ):
        return None
    key = _get_cache_hash(to_single_stage_lockfile(stage), key=True)
    for row in _trusted(repo, stage.name, key):
        candidate = repo.stage_cache._create_stage(row, wdir=stage.wdir)
        if candidate.outs_cached():
            return candidate
    return None


def unreadable_entries(repo: Any, stage: Any) -> tuple[str, ...]:
    """Returns notes on run-cache entries for the (predicted) inputs of `stage` that cannot be read:
    truncated, zeroed or edited.
    """
    from dvc.stage.cache import _get_cache_hash
    from dvc.stage.serialize import to_single_stage_lockfile

    if not (stage.cmd and stage.deps and stage.outs):
        return ()
    run_cache = witnesses(repo).run_cache
    paths = run_cache.damaged(_get_cache_hash(to_single_stage_lockfile(stage), key=True))
    shown = ", ".join(os.path.relpath(path, repo.root_dir) for path in paths)
    message = (
        f"passed over in the run cache, as it is not what its name says (cut short, zeroed or edited): "
        f"{shown}; `dvc fetch --run-cache`"
    )
    return (f"{message} brings it again once it is removed, if the remote has it",) if paths else ()


def uncached(out: Any) -> bool:
    """Returns whether the cache lacks an output's objects. A damaged listing of a folder, on which DVC fails
    in several ways, counts as lacking.
    """
    return (
        _listing_damaged(Path(out.repo.stage_cache.cache_dir).parent, out.hash_info.value)
        or out.changed_cache()
    )


def _listing_damaged(cache: Path, digest: str) -> bool:
    object_path = dvc_object(cache, digest)
    return (
        digest.endswith(".dir")
        and object_path.is_file()
        and file_digest(object_path) != digest.removesuffix(".dir")
    )


def check_inputs(repo: Any, stage: Any, pinned: Mapping[str, tuple[Any, Any]]) -> None:
    """Verify the bytes of inputs that a stage made or a .dvc file tracks, unless that was done before: DVC
    trusts what a remote sent.

    DVC has hashed other inputs itself. Raises ValueError, which names damaged inputs, and links to folders,
    whose content DVC does not see.
    """
    for dep in stage.deps:
        path = getattr(dep, "fs_path", "")
        if path and os.path.isdir(path) and (links := folder_links(path)):
            raise ValueError(
                f"its input {dep.def_path} holds the link {links[0]} to a folder or to nothing, which DVC "
                f"does not look behind: "
                "a change there would go unnoticed. Put the files themselves there, or name the folder itself"
            )
    tracked = [out.fs_path for other in repo.index.stages for out in other.outs]
    checked, damaged_inputs = verified(repo), []
    for dep in stage.deps:
        path = getattr(dep, "fs_path", "")
        if not any(
            f"{path}/".startswith(f"{tracked_path}/") or tracked_path.startswith(f"{path}/")
            for tracked_path in tracked
        ):
            continue
        digest = pinned[dep.def_path][0]
        if digest.name == "md5" and not checked.holds(dep.def_path, digest.value):
            damaged_inputs.append(dep.def_path)
    checked.save()
    if damaged_inputs:
        raise ValueError(
            f"its input {', '.join(damaged_inputs)} is damaged: the bytes are not those that were recorded. "
            f"`dvc fetch` and `dvc checkout --force` bring it again if the remote's copy is whole"
        )


def trust(repo: Any, outs: Mapping[str, str]) -> None:
    """Note outputs as verified that have just been hashed to record them."""
    checked = verified(repo)
    for path, digest in outs.items():
        checked.trust(path, digest)
    checked.save()


def damaged(repo: Any, stage: Any) -> tuple[list[str], list[Path]]:
    """Returns (outputs in the workspace, objects in the cache) whose bytes differ from those that dvc.lock or
    the run cache records for `stage`.

    DVC takes them for intact, and would check the objects out.
    """
    checked = verified(repo)
    digests = {out.def_path: out.hash_info.value for out in stage.outs if out.hash_info}
    present = [out.def_path for out in stage.outs if out.def_path in digests and not out.workspace_status()]
    damaged_outs = [path for path in present if not checked.holds(path, digests[path])]
    objects = [
        dvc_object(checked.cache, digest)
        for digest in digests.values()
        if _listing_damaged(checked.cache, digest)
    ]
    if damaged_outs or len(present) < len(stage.outs):  # something has to come out of the cache
        promised = {*digests.values(), *_recorded_outputs(repo, stage.addressing)}
        objects = [object_path for digest in promised for object_path in checked.damaged_objects(digest)]
    checked.save()
    return damaged_outs, objects


def _recorded_outputs(repo: Any, name: str) -> set[str]:
    """Returns the digests of the outputs that the run cache records for the present inputs of a stage."""
    from dvc.stage.cache import _can_hash, _get_stage_hash

    stage = repo.stage.load_one(name=name)  # of its own: its inputs are set to the present ones
    if any(not dep.exists for dep in stage.deps) or not stage.outs:
        return set()
    stage.save_deps()
    entries = (
        RunCache(Path(repo.stage_cache.cache_dir).parent).newest(_get_stage_hash(stage))
        if _can_hash(stage)
        else ()
    )
    return {out["md5"] for _, row in entries for out in row["outs"]}


def own_result(repo: Any, stage: Any) -> dict[str, str] | None:
    """Returns {output: digest} where the workspace holds an intact result for the (predicted) inputs of
    `stage` that only its lineage.json records.

    So a result survives the loss of dvc.lock and of the run cache: its record holds exactly these inputs,
    parameters, code and command, and the bytes of every output match it. Returns None when anything differs.
    """
    from dvc.stage.serialize import to_single_stage_lockfile

    path = next((out.def_path for out in stage.outs if out.def_path.endswith(f"/{NAME}")), None)
    record_path = Path(repo.root_dir, path) if path else None
    if path is None or record_path is None or not record_path.is_file():
        return None
    try:
        record = mapping(json.loads(record_path.read_bytes()))
    except ValueError:
        return None
    folder = path.rpartition("/")[0]
    outs = {
        **mapping(record.get("outs")),
        path: file_digest(record_path),
        f"{folder}/model": record.get("model_digest"),
    }
    if set(outs) != {out.def_path for out in stage.outs} or not record.get("command"):
        return None
    row = {
        **to_single_stage_lockfile(stage),
        "outs": [{"path": out, "md5": digest} for out, digest in outs.items()],
    }
    if lineage_differences(record, read_entry(stage.name, row, WORKTREE)):
        return None
    checked = verified(repo)
    intact = all(checked.holds(out, str(digest)) for out, digest in outs.items())
    checked.save()
    return {out: str(digest) for out, digest in outs.items()} if intact else None


def restore(repo: Any, stage: Any, doubted: bool = False) -> bool:
    """Check the stage's outputs out of the cache or the run cache and record them. Returns False when they
    are not there.

    Uncached files in their place are replaced, as `dvc repro` does, but only once it is known that the cache
    holds the outputs. `doubted`: the stage's entry in dvc.lock is not trusted.
    """
    from dvc.exceptions import ConfirmRemoveError
    from dvc.stage.cache import RunCacheNotFoundError
    from dvc_data.hashfile.hash_info import HashInfo

    if any(not dep.exists for dep in stage.deps):
        return False
    for out in stage.outs if doubted else ():
        out.hash_info = HashInfo()
    try:
        try:
            repo.stage_cache.restore(stage)
        except ConfirmRemoveError:  # raised after the cache was found whole
            stage.remove_outs()
            repo.stage_cache.restore(stage)
    except RunCacheNotFoundError:
        stage.save_deps()
        if own_result(repo, stage) is None:
            return False
    stage.save()
    stage.commit()
    dump(repo, stage)
    return True


def dump(repo: Any, stage: Any) -> None:
    """Write a stage's entry to dvc.lock after the objects that it names have reached the disk. DVC itself
    writes dvc.lock in place, so that a kill leaves half a file.
    """
    from dvc.stage.serialize import to_lockfile
    from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

    cache = Path(repo.stage_cache.cache_dir).parent
    for out in stage.outs:
        if out.use_cache and out.hash_info:
            for digest in (out.hash_info.value, *listed(cache, out.hash_info.value).values()):
                if (object_path := dvc_object(cache, digest)).is_file():
                    durable.sync(object_path)
    path = Path(repo.root_dir, "dvc.lock")
    value = parse_yaml_for_update(path.read_text("utf-8"), str(path)) if path.exists() else {}
    entry = to_lockfile(stage)
    if ((value or {}).get("stages") or {}).get(stage.name) == entry[stage.name]:
        return
    row = next(iter(entry.values()))
    if (record_path := RunCache(cache).of(row)).is_file():
        durable.sync(record_path)
    value = value or {"schema": "2.0"}
    value["stages"] = value.get("stages") or {}
    value["stages"].update(entry)
    durable.write(path, dumps_yaml(value))
    repo.scm_context.track_file("dvc.lock")
