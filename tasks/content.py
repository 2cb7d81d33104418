"""Content ids computed from bytes, equal to DVC's: a file's md5; for a folder the md5 of its sorted listing,
followed by `.dir`.

DVC's own state database trusts sizes and times of change; to verify a file, its bytes must be read.
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
    """Returns the md5 of a file's bytes, in hex."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb", buffering=0) as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


DANGLING = "a link to nothing"


def folder_files(folder: str | Path, ignored: Callable[[str], bool] | None = None) -> dict[str, str]:
    """Returns {relative posix path: md5} of every file below `folder`. `ignored` is asked with that relative
    path.

    As in DVC, a link to a file counts as that file, and a link to a folder is not followed (see
    `folder_links`). A dangling link has no md5; DANGLING stands in its place, so that no recorded digest can
    match.
    """
    files = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            relative = os.path.relpath(path, folder).replace(os.sep, "/")
            if not (ignored and ignored(relative)):
                files[relative] = file_digest(path) if os.path.exists(path) else DANGLING
    return dict(sorted(files.items()))


def folder_links(folder: str | Path) -> list[str]:
    """Returns the relative posix paths of links to folders, and of dangling links, below `folder`: no digest
    covers what is behind them.
    """
    paths = []
    for parent, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        links += [name for name in names if not os.path.exists(os.path.join(parent, name))]
        paths += [os.path.relpath(os.path.join(parent, name), folder).replace(os.sep, "/") for name in links]
    return sorted(paths)


def folder_digest(files: Mapping[str, str]) -> str:
    """Returns the id of a folder with these files, `<md5>.dir`; DVC hashes the same listing text."""
    return hashlib.md5(listing_text(files).encode(), usedforsecurity=False).hexdigest() + ".dir"


def listing_text(files: Mapping[str, str]) -> str:
    """Returns the text of DVC's object for a folder."""
    return json.dumps([{"md5": md5, "relpath": path} for path, md5 in sorted(files.items())], sort_keys=True)


def ignored_below(root: Path, folder: Path) -> Callable[[str], bool] | None:
    """Returns a predicate of what DVC ignores in a folder below the project at `root`, for paths relative to
    that folder; None for folders elsewhere.
    """
    from pathspec import GitIgnoreSpec

    if not folder.is_relative_to(root):
        return None
    path, prefix = root / ".dvcignore", folder.relative_to(root).as_posix()
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    spec = GitIgnoreSpec.from_lines([".hg/", ".git/", ".git", ".dvc/", *lines])
    return lambda name: spec.match_file(f"{prefix}/{name}")


def content_id(
    path: str | Path, ignored: Callable[[str], bool] | None = None
) -> tuple[str, dict[str, str] | None]:
    """Returns (id, files): for a folder with its {relative path: md5}, for a file with None. Raises
    FileNotFoundError when there is nothing at `path`.
    """
    if os.path.isdir(path):
        files = folder_files(path, ignored)
        return folder_digest(files), files
    return file_digest(path), None


def dvc_cache(root: Path) -> Path:
    """Returns the cache folder of the project at `root`: the last `cache.dir` in DVC's configuration files,
    or else .dvc/cache.

    System, user, project and local files count in this order, as for DVC; a relative path starts from the
    folder of its file. ValueError when one of them cannot be read.
    """
    folder = root / ".dvc" / "cache"
    for path in _dvc_configs(root):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path} cannot be read: {' '.join(str(error).split())}; mend it, or bring it back with `git "
                f"checkout`"
            ) from None
        setting = parser.get("cache", "dir", fallback="").strip("\"'")
        folder = Path(os.path.normpath(path.parent / Path(setting).expanduser())) if setting else folder
    return folder


def _dvc_configs(root: Path) -> list[Path]:
    """Returns DVC's configuration files in ascending order of precedence."""
    from platformdirs import site_config_dir, user_config_dir

    system = os.environ.get("DVC_SYSTEM_CONFIG_DIR") or site_config_dir("dvc", "iterative")
    user = os.environ.get("DVC_GLOBAL_CONFIG_DIR") or user_config_dir("dvc", "iterative")
    return [
        Path(system, "config"),
        Path(user, "config"),
        root / ".dvc" / "config",
        root / ".dvc" / "config.local",
    ]


def listed(cache: Path, digest: str) -> dict[str, str]:
    """Returns {relative path: md5} of a folder's object in the cache; empty for a file, and where the listing
    is missing or damaged.
    """
    if not digest.endswith(".dir"):
        return {}
    try:
        files = {row["relpath"]: row["md5"] for row in json.loads(dvc_object(cache, digest).read_bytes())}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return files if folder_digest(files) == digest else {}


def dvc_object(cache: Path, digest: str) -> Path:
    """Returns the path of the cache object with this md5; of a folder's listing when the digest ends in
    .dir.
    """
    return cache / "files" / "md5" / digest[:2] / digest[2:]
