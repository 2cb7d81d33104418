"""The hashes that DVC computes for inputs and outputs: of their present content, and of the content that a
plan predicts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LISTINGS = ".whetstone/manifests"  # of input folders that no stage makes (flows/provenance/content.py)


def set_hash(dependency: Any, value: Any) -> None:
    """Set the content hash of a dependency, for a prediction. Its Meta is emptied, since the md5 in it would
    take precedence in the run cache's key.
    """
    from dvc_data.hashfile.meta import Meta

    dependency.hash_info, dependency.meta = value, Meta()


def set_md5(item: Any, digest: str) -> None:
    """Set the content digest of an input or output, for a prediction."""
    from dvc_data.hashfile.hash_info import HashInfo

    set_hash(item, HashInfo("md5", digest))


def params_hash(dependency: Any, files: dict[str, Any]) -> Any:
    """Returns the current values of a params dependency; `files` remembers parsed files. Raises DvcException
    naming the missing key.
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
    """Returns the value at a dotted key of nested mappings. DVC's own lookup (dpath) tries every key of the
    file at every step.
    """
    for part in dotted.split("."):
        if not isinstance(value, Mapping):
            raise KeyError(dotted)
        value = value[part]
    return value


def folder_hash(dependency: Any, outputs: dict[str, Any], removed: list[str]) -> Any:
    """Returns the content hash that a folder will have once it holds the `outputs` (path -> hash) and no
    longer the `removed` files.

    Raises DvcException when the listing of one of the outputs is not cached.
    """
    from dvc.exceptions import DvcException
    from dvc_data.hashfile.tree import Tree

    parts = {path: dependency.fs.relparts(path, dependency.fs_path) for path in [*outputs, *removed]}
    tree = Tree()
    if dependency.exists:
        for key, meta, content in _listing(dependency):
            if not any(key[: len(prefix)] == prefix for prefix in parts.values()):
                tree.add(key, meta, content)
    for path, content in outputs.items():
        if not content.isdir:
            tree.add(parts[path], None, content)
            continue
        try:
            listing = Tree.load(dependency.cache, content)
        except FileNotFoundError as error:
            raise DvcException(f"the listing of {path} is not in the cache") from error
        for key, meta, hash_info in listing:
            tree.add((*parts[path], *key), meta, hash_info)
    tree.digest()
    return tree.hash_info


def tree_changes(dependency: Any, old: Any, limit: int = 3) -> list[str]:
    """Returns which files of a folder differ from its recorded content; empty when the old listing is not
    cached.
    """
    from dvc_data.hashfile.diff import diff
    from dvc_data.hashfile.tree import Tree

    try:
        before = Tree.load(dependency.cache, old)
    except OSError:
        # of raw data, which no cache holds
        listing = Path(dependency.repo.root_dir) / LISTINGS / f"{old.value}.json"
        if not listing.is_file():
            return []
        before = Tree.from_list(json.loads(listing.read_text("utf-8")), hash_name="md5")
        before.digest()
    changes = diff(before, _listing(dependency), dependency.cache)
    names = [f"+{'/'.join(c.new.key)}" for c in changes.added if c.new.key]
    names += [f"-{'/'.join(c.old.key)}" for c in changes.deleted if c.old.key]
    names += ["/".join(c.new.key) for c in changes.modified if c.new.key]
    names = [name for name in names if name.strip("+-")]  # the folder itself is among them
    return names[:limit] + ([f"… {len(names) - limit} more"] if len(names) > limit else [])


def _listing(dependency: Any) -> Any:
    """Returns DVC's tree of the files that are in a folder now."""
    _, _, tree = dependency._build(
        dependency.local_cache,
        dependency.fs_path,
        dependency.fs,
        dependency.hash_name,
        ignore=dependency.dvcignore,
        dry_run=True,
    )
    return tree
