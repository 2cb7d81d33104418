"""Content ids computed from bytes, equal to DVC's: the md5 of a file; for a folder the md5 of its sorted listing, followed by `.dir`.

DVC's own state database trusts sizes and times of change; whoever verifies a file must read it.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

BLOCK = 1 << 22


def file_digest(path: str | Path) -> str:
    """The md5 of a file's bytes, in hex."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb", buffering=0) as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def folder_files(folder: str | Path, ignored: Callable[[str], bool] | None = None) -> dict[str, str]:
    """{relative posix path: md5} of every file below `folder`, links followed. `ignored` is asked with that relative path."""
    files = {}
    for parent, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = os.path.join(parent, name)
            relative = os.path.relpath(path, folder).replace(os.sep, "/")
            if not (ignored and ignored(relative)):
                files[relative] = file_digest(path)
    return dict(sorted(files.items()))


def folder_digest(files: Mapping[str, str]) -> str:
    """The id of a folder with these files, `<md5>.dir`; the listing's text is just what DVC hashes."""
    return hashlib.md5(listing_text(files).encode(), usedforsecurity=False).hexdigest() + ".dir"


def listing_text(files: Mapping[str, str]) -> str:
    """The text of DVC's object for a folder."""
    return json.dumps([{"md5": md5, "relpath": path} for path, md5 in sorted(files.items())], sort_keys=True)


def content_id(path: str | Path, ignored: Callable[[str], bool] | None = None) -> tuple[str, dict[str, str] | None]:
    """(id, files): of a folder with its {relative path: md5}, of a file with None. FileNotFoundError when there is nothing at `path`."""
    if os.path.isdir(path):
        files = folder_files(path, ignored)
        return folder_digest(files), files
    return file_digest(path), None


def dvc_cache(root: Path) -> Path:
    """DVC's cache folder of the project at `root`: `cache.dir` of its configuration, else .dvc/cache."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    return root / ".dvc" / parser.get("cache", "dir", fallback="cache").strip("\"'")


def dvc_object(cache: Path, digest: str) -> Path:
    """Where the cache keeps the bytes with this md5; a folder's listing when the digest ends in .dir."""
    return cache / "files" / "md5" / digest[:2] / digest[2:]
