"""Opening and locking DVC's repository, and reading what it declares.

DVC is called in `dvc_*.py` of this folder only. Most calls are private API of dvc 3.67, which is pinned and
covered by tests/flows/test_dvc_contract.py.

DVC's locks do not exclude threads of one process (they share a pid), so one re-entrant lock is taken before
them. dvc.lock is written in place, not atomically: it is never read without the repository lock.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flows.graph.closure import Declared
from flows.graph.dvc_run_cache import intact_entries_only
from flows.graph.fill import filled_text
from flows.graph.params_file import PARAMS
from flows.graph.stage_records import load_yaml

_THREADS = threading.RLock()
CODE_STAGE = "code"


class BrokenLock(RuntimeError):
    """dvc.lock cannot be read."""


def dvc_error() -> type[Exception]:
    """Returns the base class of DVC's own errors."""
    from dvc.exceptions import DvcException

    return DvcException


def lock_error() -> type[Exception]:
    """Returns DVC's error class for a path that another command works on."""
    from dvc.lock import LockError

    return LockError


@contextlib.contextmanager
def open_repo(root: Path, instead: Mapping[str, str] | None = None) -> Iterator[Any]:
    """Yields a `dvc.repo.Repo` without a lock, for reading declarations only. DVC reads the texts in
    `instead` in place of the files named there; without it, params.yaml is read with its optional references
    filled in.
    """
    from dvc.repo import Repo

    if instead is None and (completed := filled_text(root)):
        instead = {PARAMS: completed[0]}

    # "Updating lock file" once per stage tells nobody anything
    logging.getLogger("dvc").setLevel(logging.WARNING)
    for logger_name in (
        "dvc.progress",
        "dvc_data.callbacks",
    ):  # "Collecting files and computing hashes", three lines on a terminal for each input
        logging.getLogger(logger_name).setLevel(logging.CRITICAL)
    repo = Repo(str(root), fs=None if instead is None else _files_with(root, instead), _wait_for_lock=True)
    # or it draws "Waiting to acquire lock" on a terminal each time that it is taken
    repo.lock._friendly = False
    intact_entries_only(repo)
    try:
        yield repo
    finally:
        repo.close()


def _files_with(root: Path, instead: Mapping[str, str]) -> Any:
    """Returns the local file system, in which the files that `instead` names (now or later) have the text
    given there.
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
    """Yields a `dvc.repo.Repo` under the repository lock. It waits for the lock (DVC's own default gives up
    after 3 s and would lose a trained result).
    """
    from dvc.repo import lock_repo

    with _THREADS, open_repo(root, instead) as repo, lock_repo(repo):
        _try_once(repo.state)
        yield repo


def _try_once(state: Any) -> None:
    """Let writes to DVC's state database fail. diskcache repeats a transaction until it succeeds, which on a
    full disk is for ever; SQLite itself waits up to a minute for another process that holds the file.
    """
    from diskcache import Timeout

    for cache in (state.links, state.hashes):

        @contextlib.contextmanager
        def transact(
            retry: bool = False, filename: str | None = None, begin: Any = cache._transact
        ) -> Iterator[Any]:
            try:
                with begin(False, filename) as transaction:
                    yield transaction
            except Timeout as error:
                raise OSError(
                    f"DVC's notes below {state.tmp_dir} cannot be written: {error.__context__ or error}"
                ) from error

        cache._transact = transact


def declared(repo: Any) -> list[Declared]:
    """Returns the declaration of each stage, as far as the code digest depends on it."""
    from dvc.stage import PipelineStage

    declarations = []
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
            declarations.append(Declared(stage.name, command(stage), (*sections, *settings), tuple(settings)))
    return declarations


def command(stage: Any) -> str:
    return stage.cmd if isinstance(stage.cmd, str) else "\n".join(stage.cmd or [])


def is_params(dependency: Any) -> bool:
    from dvc.dependency import ParamsDependency

    return isinstance(dependency, ParamsDependency)


def is_pipeline_stage(stage: Any) -> bool:
    from dvc.stage import PipelineStage

    return isinstance(stage, PipelineStage)


def lock_entries(repo: Any) -> dict[str, Any]:
    """Returns {stage name: its entry in dvc.lock}. DVC parses the file again for every stage that asks, so
    ask once.
    """
    stages = [stage for stage in repo.index.stages if is_pipeline_stage(stage)]
    return stages[0].dvcfile.lockfile_contents.get("stages", {}) if stages else {}


def check_lock(root: Path) -> str | None:
    """Returns what is wrong with dvc.lock, or None. Call it under the repository lock."""
    path = root / "dvc.lock"
    return lock_problem(path.read_bytes()) if path.exists() else None


def lock_problem(data: bytes) -> str | None:
    """Returns what is wrong with the bytes of a dvc.lock, or None."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA

    if not data.strip():
        return "it is empty"
    try:
        COMPILED_LOCKFILE_SCHEMA(load_yaml(data.decode("utf-8")))
    except Exception as error:  # noqa: BLE001  DVC, voluptuous, ruamel and the decoder each raise their own kind; all mean the same here
        return " ".join(str(error).split())[:300] or type(error).__name__
    return None
