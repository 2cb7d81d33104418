"""Every call into DVC but those for its run cache (dvc_run_cache.py). Most are private API of dvc 3.67,
pinned and held by tests/flows/test_dvc_contract.py; no other module imports DVC.

DVC's locks are blind between threads of one process (they share a pid), so one re-entrant lock stands before
them. dvc.lock is written in place, not atomically: it is never read without the repository lock.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flows.graph.closure import Declared
from flows.graph.dvc_run_cache import dump, whole_entries_only
from flows.graph.fill import filled_text
from flows.graph.params_file import PARAMS
from flows.graph.stage_records import flatten, load_yaml

_THREADS = threading.RLock()
CODE_STAGE = "code"
LISTINGS = ".whetstone/manifests"  # of input folders that no stage makes (flows/provenance/content.py)


class BrokenLock(RuntimeError):
    """dvc.lock cannot be read."""


def dvc_error() -> type[Exception]:
    """The base of DVC's own errors."""
    from dvc.exceptions import DvcException

    return DvcException


def lock_error() -> type[Exception]:
    """DVC's error for a path that another command works on."""
    from dvc.lock import LockError

    return LockError


@contextlib.contextmanager
def open_repo(root: Path, instead: Mapping[str, str] | None = None) -> Iterator[Any]:
    """A `dvc.repo.Repo` without any lock: good for declarations only. To DVC the files named in `instead`
    hold the texts given there; without, params.yaml has the references that it may leave out.
    """
    from dvc.repo import Repo

    if instead is None and (lacked := filled_text(root)):
        instead = {PARAMS: lacked[0]}

    # "Updating lock file" once per stage tells nobody anything
    logging.getLogger("dvc").setLevel(logging.WARNING)
    for drawn in (
        "dvc.progress",
        "dvc_data.callbacks",
    ):  # "Collecting files and computing hashes", three lines on a terminal for each input
        logging.getLogger(drawn).setLevel(logging.CRITICAL)
    repo = Repo(str(root), fs=None if instead is None else _files_with(root, instead), _wait_for_lock=True)
    # or it draws "Waiting to acquire lock" on a terminal each time that it is taken
    repo.lock._friendly = False
    whole_entries_only(repo)
    try:
        yield repo
    finally:
        repo.close()


def _files_with(root: Path, instead: Mapping[str, str]) -> Any:
    """The local file system, in which the files of the project that `instead` names (now or later) have the
    text given there.
    """
    from dvc.fs import LocalFileSystem

    class Files(LocalFileSystem):
        def open(self, path: Any, mode: str = "r", **kwargs: Any) -> Any:
            name = os.path.relpath(path, root)
            if name not in instead or mode not in ("r", "rb"):
                return super().open(path, mode, **kwargs)
            return io.StringIO(instead[name]) if mode == "r" else io.BytesIO(instead[name].encode())

    return Files()


@contextlib.contextmanager
def locked_repo(root: Path, instead: Mapping[str, str] | None = None) -> Iterator[Any]:
    """A `dvc.repo.Repo` under the repository lock; waits for it (DVC's own default gives up after 3 s and
    would lose a trained result).
    """
    from dvc.repo import lock_repo

    with _THREADS, open_repo(root, instead) as repo, lock_repo(repo):
        _try_once(repo.state)
        yield repo


def _try_once(state: Any) -> None:
    """Let writes to DVC's notes of hashes and links fail. diskcache begins a transaction again and again
    until it succeeds, which on a full disk is for ever; another process that holds the file is waited for by
    SQLite itself, for a minute.
    """
    from diskcache import Timeout

    for cache in (state.links, state.hashes):

        @contextlib.contextmanager
        def transact(
            retry: bool = False, filename: str | None = None, begin: Any = cache._transact
        ) -> Iterator[Any]:
            try:
                with begin(False, filename) as found:
                    yield found
            except Timeout as error:
                raise OSError(
                    f"DVC's notes below {state.tmp_dir} cannot be written: {error.__context__ or error}"
                ) from error

        cache._transact = transact


def graph(repo: Any) -> dict[Any, set[Any]]:
    """Stage or .dvc file -> those whose outputs it reads: DVC's `repo.index.graph`, without networkx, whose
    import takes a tenth of a plan.

    What DVC refuses (overlapping outputs, a stage's file inside an output, a cycle) is left to DVC to say.
    """
    from dvc.dependency import DatasetDependency

    stages, outs = repo.index.stages, repo.index.outs_trie
    needs: dict[Any, set[Any]] = {stage: set() for stage in stages}
    for stage in stages:
        if outs.shortest_prefix(repo.fs.parts(stage.path)):
            repo.index.check_graph()
        for dep in stage.deps if not (stage.is_repo_import or stage.is_db_import) else []:
            if not isinstance(dep, DatasetDependency):
                key = dep.fs.parts(dep.fs_path)
                found = [step.value for step in outs.prefixes(key)]
                found += outs.values(prefix=key) if outs.has_subtrie(key) else []
                needs[stage].update(out.stage for out in found)
    return needs


def with_sources(needs: dict[Any, set[Any]], takes: Mapping[str, Iterable[str]]) -> dict[Any, set[Any]]:
    """The graph in which a stage waits for the outside sources that it takes (`takes`: stage name -> stage
    names), not for all of them.

    To DVC they are inputs of the `code` stage, whose output tells each stage what is its own.
    """
    by_name = {stage.addressing: stage for stage in needs}
    result = {stage: set(upstream) for stage, upstream in needs.items()}
    for stage, upstream in result.items():
        if stage.addressing == CODE_STAGE:
            upstream.clear()
        upstream.update(by_name[name] for name in takes.get(stage.addressing, ()) if name in by_name)
    return result


def stages_in_order(repo: Any, needs: dict[Any, set[Any]]) -> list[Any]:
    """Stages and .dvc files, upstream first and by name among those that are free to go. Raises on a cycle,
    as DVC does.
    """
    waits = {stage: set(upstream) for stage, upstream in needs.items()}
    order: list[Any] = []
    while waits:
        free = sorted(
            (stage for stage, upstream in waits.items() if not upstream), key=lambda stage: stage.addressing
        )
        if not free:
            repo.index.check_graph()
            raise RuntimeError("the stages wait for each other, and DVC sees no cycle")
        order.append(free[0])
        del waits[free[0]]
        for upstream in waits.values():
            upstream.discard(free[0])
    return order


def with_upstream(needs: dict[Any, set[Any]], order: list[Any], wanted: set[str]) -> list[Any]:
    """The stages named in `wanted` and all that they need, in the given order."""
    needed: set[Any] = set()
    todo = [stage for stage in order if stage.addressing in wanted]
    while todo:
        stage = todo.pop()
        if stage not in needed:
            needed.add(stage)
            todo += needs[stage]
    return [stage for stage in order if stage in needed]


def upstream_names(needs: dict[Any, set[Any]]) -> dict[str, list[str]]:
    """Stage name -> names of the stages that it depends on directly (the `code` stage left out)."""
    return {
        stage.addressing: sorted(s.addressing for s in above if s.addressing != CODE_STAGE)
        for stage, above in needs.items()
    }


def declared(repo: Any) -> list[Declared]:
    """What the code digest needs of each declared stage."""
    from dvc.stage import PipelineStage

    found = []
    for stage in repo.index.stages:
        if isinstance(stage, PipelineStage) and stage.name != CODE_STAGE:
            sections = [
                name
                for dep in stage.params
                for name in dep.params
                if os.path.basename(dep.def_path) == "params.yaml"
            ]
            listed = stage.meta.get("settings") if isinstance(stage.meta, dict) else None
            settings = [str(name) for name in listed] if isinstance(listed, list) else []
            found.append(Declared(stage.name, command(stage), (*sections, *settings), tuple(settings)))
    return found


def command(stage: Any) -> str:
    return stage.cmd if isinstance(stage.cmd, str) else "\n".join(stage.cmd or [])


def is_params(dependency: Any) -> bool:
    from dvc.dependency import ParamsDependency

    return isinstance(dependency, ParamsDependency)


def is_pipeline_stage(stage: Any) -> bool:
    from dvc.stage import PipelineStage

    return isinstance(stage, PipelineStage)


def lock_entries(repo: Any) -> dict[str, Any]:
    """Stage name -> its entry in dvc.lock. DVC parses the file anew for every stage that asks, so ask
    once.
    """
    stages = [stage for stage in repo.index.stages if is_pipeline_stage(stage)]
    return stages[0].dvcfile.lockfile_contents.get("stages", {}) if stages else {}


def check_lock(root: Path) -> str | None:
    """What is wrong with dvc.lock, or None. To be asked under the repository lock."""
    path = root / "dvc.lock"
    return lock_problem(path.read_bytes()) if path.exists() else None


def lock_problem(data: bytes) -> str | None:
    """What is wrong with the bytes of a dvc.lock, or None."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA

    if not data.strip():
        return "it is empty"
    try:
        COMPILED_LOCKFILE_SCHEMA(load_yaml(data.decode("utf-8")))
    except Exception as error:  # noqa: BLE001  DVC, voluptuous, ruamel and the decoder each raise their own kind; all mean the same here
        return " ".join(str(error).split())[:300] or type(error).__name__
    return None


# -- predicted contents --------------------------------------------------------------------------------------


def set_hash(dependency: Any, value: Any) -> None:
    """Pretend that a dependency has this content. Meta carries its own md5, which would win in the run
    cache's key, so it is emptied.
    """
    from dvc_data.hashfile.meta import Meta

    dependency.hash_info, dependency.meta = value, Meta()


def set_md5(item: Any, digest: str) -> None:
    """Pretend that an input or output has the content with this digest."""
    from dvc_data.hashfile.hash_info import HashInfo

    set_hash(item, HashInfo("md5", digest))


def params_hash(dependency: Any, files: dict[str, Any]) -> Any:
    """The current values of a params dependency; `files` remembers parsed files. Raises DvcException naming
    the missing key.
    """
    from dvc.utils.serialize import load_path
    from dvc_data.hashfile.hash_info import HashInfo

    path = dependency.fs_path
    if path not in files:
        if not os.path.exists(path):
            return dependency.get_hash()
        files[path] = load_path(path, dependency.repo.fs)
    try:
        values = {key: _get(files[path], key) for key in dependency.params}
    except KeyError:
        return dependency.get_hash()  # indices and patterns, and DVC's own words for what is missing
    return HashInfo(dependency.PARAM_PARAMS, values or files[path])  # type: ignore[arg-type]


def _get(value: Any, dotted: str) -> Any:
    """The value at a dotted key of nested mappings; DVC's own way there (dpath) tries every key of the file
    at every step.
    """
    for part in dotted.split("."):
        if not isinstance(value, Mapping):
            raise KeyError(dotted)
        value = value[part]
    return value


def folder_hash(dependency: Any, made: dict[str, Any], gone: list[str]) -> Any:
    """The content that a folder will have when the outputs `made` (path -> hash) lie in it and the files
    `gone` do not.

    Raises DvcException when the listing of a made folder is not cached.
    """
    from dvc.exceptions import DvcException
    from dvc_data.hashfile.tree import Tree

    parts = {path: dependency.fs.relparts(path, dependency.fs_path) for path in [*made, *gone]}
    tree = Tree()
    if dependency.exists:
        for key, meta, content in _listing(dependency):
            if not any(key[: len(inside)] == inside for inside in parts.values()):
                tree.add(key, meta, content)
    for path, content in made.items():
        if not content.isdir:
            tree.add(parts[path], None, content)
            continue
        try:
            listed = Tree.load(dependency.cache, content)
        except FileNotFoundError as error:
            raise DvcException(f"the listing of {path} is not in the cache") from error
        for key, meta, inner in listed:
            tree.add((*parts[path], *key), meta, inner)
    tree.digest()
    return tree.hash_info


def _listing(dependency: Any) -> Any:
    """The files of a folder as they are now."""
    _, _, tree = dependency._build(
        dependency.local_cache,
        dependency.fs_path,
        dependency.fs,
        dependency.hash_name,
        ignore=dependency.dvcignore,
        dry_run=True,
    )
    return tree


# -- one run -------------------------------------------------------------------------------------------------


def missing_inputs(stage: Any) -> list[str]:
    """Declared data that is not there."""
    return [dep.def_path for dep in stage.deps if not is_params(dep) and not dep.exists]


def pin(stage: Any) -> dict[str, tuple[Any, Any]]:
    """Hash the inputs as they are now: path -> (hash, meta). Raises FileNotFoundError naming those that are
    not there.
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
    """Names of inputs whose content is not what was pinned; parameters by key."""
    from dvc.exceptions import DvcException

    changed = []
    for dep in stage.deps:
        before = pinned[dep.def_path][0]
        # an input that the recorded result did not have is loaded with DVC 2's kind of hash, and pinned with
        # today's
        dep.update_legacy_hash_name(force=True)
        try:
            now = dep.get_hash()
        except (DvcException, OSError) as error:
            changed.append(f"{dep.def_path} ({error})")
            continue
        if now == before:
            continue
        if is_params(dep):
            old, new = flatten(before.value), flatten(now.value)
            keys = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
            for key in keys:
                _, _, setting = key.partition(".settings.")  # of an entry of code.lock.json
                changed.append(f"params.yaml:{setting}" if setting else f"{dep.def_path}:{key}")
        else:
            changed.append(dep.def_path)
    return changed


def record(repo: Any, stage: Any, pinned: dict[str, tuple[Any, Any]], command: Any) -> dict[str, str]:
    """Enter the outputs into cache, run cache and dvc.lock with the inputs that were pinned; returns path ->
    digest.
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


@contextlib.contextmanager
def stage_lock(repo: Any, stage: Any) -> Iterator[None]:
    """DVC's reader/writer lock on the stage's paths, so that a bare `dvc repro` by someone else is refused,
    not raced.
    """
    from dvc.rwlock import rwlock

    reads = [dep.fs_path for dep in stage.deps if not is_params(dep)]
    writes = [out.fs_path for out in stage.outs]
    # the name that DVC's own calls in this process use, so that they pass their own lock
    name = " ".join(sys.argv)
    with rwlock(repo.tmp_dir, repo.fs, name, reads, writes, repo.config["core"].get("hardlink_lock", False)):
        yield


def drop_partial_objects(repo: Any) -> int:
    """Remove what an interrupted copy left in the cache: DVC writes objects under `.….tmp` names, and never
    looks at those again.
    """
    folder = Path(repo.cache.local.path)
    partial = list(folder.glob("??/.*.tmp")) if folder.is_dir() else []
    for path in partial:
        path.unlink(missing_ok=True)
    return len(partial)


def drop_dead_locks(repo: Any) -> int:
    """Remove reader/writer lock entries whose process is gone, or whose pid now belongs to another command
    (containers, reboots).
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


def record_code_stage(repo: Any) -> None:
    """code.lock.json was just written in-process: let dvc.lock say so, that `dvc status` finds the stage
    fresh.
    """
    stage = next(stage for stage in repo.index.stages if stage.addressing == CODE_STAGE)
    if stage.changed():
        stage.save(run_cache=False)
        dump(repo, stage)


def prune_orphans(repo: Any) -> None:
    """Remove the orphans. DVC leaves them behind, and the digest of the folder would change with them."""
    for path in orphans(repo):
        os.unlink(path)


def orphans(repo: Any, entries: dict[str, Any] | None = None) -> list[str]:
    """Absolute paths of outputs of stages that are no longer declared where they lie inside a folder that a
    stage reads as a whole.

    `metrics/` after a method was taken out. Only what dvc.lock records and the cache holds counts, so
    removing them loses nothing.
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
    found = []
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
                found.append(target)
    return found


def tree_changes(dependency: Any, old: Any, limit: int = 3) -> list[str]:
    """Which files of a folder differ from its recorded content; empty when the old listing is not cached."""
    from dvc_data.hashfile.diff import diff
    from dvc_data.hashfile.tree import Tree

    try:
        before = Tree.load(dependency.cache, old)
    except OSError:
        # of raw data, which no cache holds
        listed = Path(dependency.repo.root_dir) / LISTINGS / f"{old.value}.json"
        if not listed.is_file():
            return []
        before = Tree.from_list(json.loads(listed.read_text("utf-8")), hash_name="md5")
        before.digest()
    changes = diff(before, _listing(dependency), dependency.cache)
    names = [f"+{'/'.join(c.new.key)}" for c in changes.added if c.new.key]
    names += [f"-{'/'.join(c.old.key)}" for c in changes.deleted if c.old.key]
    names += ["/".join(c.new.key) for c in changes.modified if c.new.key]
    names = [name for name in names if name.strip("+-")]  # the folder itself is among them
    return names[:limit] + ([f"… {len(names) - limit} more"] if len(names) > limit else [])
