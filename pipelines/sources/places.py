"""The files of a source on this machine: a folder, the snapshot of a Hugging Face id, or a file of a Python
package.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pipelines.sources import packages
from pipelines.sources.manifest import SourceDamaged, SourceError
from pipelines.sources.source_params import Kind, Source

WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.gguf")
# Formats that can run code when they are opened, or that nothing here reads.
OTHER_WEIGHTS = (
    "*.bin",
    "*.bin.index.json",
    "*.pt",
    "*.pth",
    "*.ckpt",
    "*.h5",
    "*.msgpack",
    "*.onnx",
    "*.onnx_data",
    "*.ot",
    "*.pkl",
)
NOT_FETCHED = (*OTHER_WEIGHTS, "*.md", "*.png", "*.jpg", "*.pdf", "original/*", "onnx/*", "runs/*")
# the card, README.md, says which files are which split
NO_DATA = (*OTHER_WEIGHTS, "*.py", "*.png", "*.jpg", "*.pdf")


class Place(NamedTuple):
    """`folder` and the names of the used files in it. `facts`: the manifest's description of the source."""

    folder: Path
    names: tuple[str, ...]
    facts: dict[str, str]


def find(source: Source, kind: Kind, offline: bool, commit: str | None = None) -> Place:
    """Returns the place of a source. Raises SourceError, which names what is missing. `commit`: the pinned
    commit of a Hugging Face id without one.
    """
    if source.path is not None:
        return _path(source.path, kind)
    return _hub(source, kind, offline, commit) if source.hub is not None else _package(source, offline)


def _path(text: str, kind: Kind) -> Place:
    path = Path(text).expanduser()
    if path.is_file():
        return Place(path.parent, (path.name,), {"path": text})
    if not path.is_dir():
        fault = f"a link to {os.readlink(path)}, which is not there" if path.is_symlink() else "missing"
        raise SourceError(f"{text} is {fault}; bring it back, or correct the path in params.yaml")
    names = used(list(_below(path)), kind)
    if not names:
        raise SourceError(f"{text} holds no file that a {kind} is made of")
    return Place(path, names, {"path": text})


def _below(folder: Path) -> Iterable[str]:
    """Yields the relative names of the files, without hidden ones. Raises SourceError for a dangling link."""
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        for name in names:
            path = Path(parent) / name
            if path.is_symlink() and not path.exists():
                raise SourceError(
                    f"{path} is a link to {os.readlink(path)}, which is not there; bring the file back, or "
                    f"remove the link"
                )
            if not name.startswith("."):
                yield path.relative_to(folder).as_posix()


def used(names: Iterable[str], kind: Kind, files: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Returns the files of a source that count: those that `files` names, else all but weights in formats
    that are never opened.
    """
    skipped = NO_DATA if kind == "data" else (*OTHER_WEIGHTS, *(WEIGHTS if kind == "tokenizer" else ()))
    selected = [name for name in names if (_matches(name, files) if files else not _matches(name, skipped))]
    # a folder with nothing but a .gguf file, which holds its tokenizer too
    if kind == "tokenizer" and not selected:
        selected = [name for name in names if name.endswith(".gguf")]
    return tuple(sorted(selected))


def exactly(names: Iterable[str]) -> tuple[str, ...]:
    """Returns patterns for a source's `files` that match these names only."""
    return tuple(glob.escape(name) for name in names)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _package(source: Source, offline: bool) -> Place:
    path, version = packages.find(source, offline)
    facts = {"package": str(source.package), "version": version, "file": str(source.file)}
    return Place(path.parent, (path.name,), facts)


# -- the Hugging Face hub ------------------------------------------------------------------------------------


def _hub(source: Source, kind: Kind, offline: bool, commit: str | None) -> Place:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    id, revision = str(source.hub), source.revision or "main"
    only, without = (list(source.files), None) if source.files else (None, _ignored(kind))
    try:
        folder = Path(
            snapshot_download(
                id,
                repo_type="dataset" if kind == "data" else "model",
                revision=commit or revision,
                local_files_only=offline,
                allow_patterns=only,
                ignore_patterns=without,
            )
        )
    except Exception as error:  # of the hub, of its client, and of what lies between the two
        way = (
            "set execution.offline to false to fetch it, or give the path of a folder"
            if offline
            else "check the id and the network"
        )
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        why = (
            "no whole snapshot of it is in the local cache"
            if isinstance(error, LocalEntryNotFoundError)
            else why
        )
        raise SourceError(
            f"{id} (revision {commit or revision}) is no folder here, and as a Hugging Face id it is not at "
            f"hand: {why}; {way}"
        ) from error
    names = used(list(_below(folder)), kind, source.files)
    names = tuple(name for name in names if source.files or not _matches(name, _ignored(kind)))
    if not names:
        raise SourceError(
            f"{id} (revision {commit or revision}) holds no file that a {kind} is made of in {folder}"
        )
    for name in names:
        _check_blob(folder / name)
    return Place(folder, names, {"hub": id, "revision": revision, "commit": folder.name})


def _ignored(kind: Kind) -> list[str]:
    if kind == "data":
        return list(NO_DATA)
    return [*NOT_FETCHED, *(WEIGHTS if kind == "tokenizer" else ("*.gguf",))]


def _check_blob(path: Path) -> None:
    """Raises SourceDamaged where a file differs from its name in the hub's cache: the sha256 of large files,
    git's sha1 of others.
    """
    name, size = path.resolve().name, path.stat().st_size
    if len(name) not in (40, 64) or set(name) - set("0123456789abcdef"):
        return
    state = (
        hashlib.sha256()
        if len(name) == 64
        else hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    )
    with open(path, "rb") as stream:
        while block := stream.read(1 << 22):
            state.update(block)
    if state.hexdigest() != name:
        raise SourceDamaged(
            f"{path} is damaged: its bytes are not those that the hub's cache names; delete {path.resolve()} "
            f"and fetch it again"
        )


def commit_of(id: str, revision: str, kind: Kind) -> str | None:
    """Returns the hub's present commit of a branch or tag; None when the hub cannot be asked."""
    from huggingface_hub import HfApi

    try:
        return (
            HfApi()
            .repo_info(id, revision=revision, timeout=10, repo_type="dataset" if kind == "data" else "model")
            .sha
        )
    except Exception:  # noqa: BLE001 - whatever lies between here and the hub: it is asked out of courtesy only
        return None
