"""Where recorded bytes are (in the workspace, in DVC's cache, in git or nowhere), and whether they still
match their digests.

Ids are computed from bytes. DVC's state database trusts sizes and times of change, so that a file which was
changed in place through a hard link, in the workspace or in the cache, passes there and fails here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flows.graph.stage_records import BrokenRecord
from flows.provenance import source_state
from flows.provenance.snapshot import NoGit
from tasks import durable
from tasks.content import (
    content_id,
    dvc_cache,
    dvc_object,
    file_digest,
    folder_digest,
    ignored_below,
    listing_text,
)

MANIFESTS = ".whetstone/manifests"

OK, CACHED, IN_GIT, CHANGED, CORRUPT, MISSING = "ok", "cached", "in git", "changed", "corrupt", "missing"
GOOD = frozenset({OK, CACHED, IN_GIT})


@dataclass(frozen=True)
class ContentState:
    """The state of recorded bytes, and the files that differ ({path: what is wrong}).

    ok: the workspace holds them. cached, in git: the workspace does not, but DVC's cache or a commit does,
    verified. changed: the workspace should hold them and holds something else. corrupt: the cache's object
    does not match its name. missing: they are nowhere.
    """

    status: str
    files: Mapping[str, str]


class Contents:
    """The bytes of one project. Each path and object is hashed once per instance, so use an instance for one
    question only.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root).resolve()
        self._ids: dict[Path, tuple[str, dict[str, str] | None] | None] = {}
        self._objects: dict[str, str] = {}

    @cached_property
    def cache(self) -> Path:
        try:
            return dvc_cache(self.root)
        except ValueError as error:
            raise BrokenRecord(str(error)) from None

    def object(self, digest: str) -> Path:
        """Returns the path of DVC's cache object with this md5; of a folder's listing when the digest ends in
        .dir.
        """
        return dvc_object(self.cache, digest)

    def at(self, path: str | Path) -> tuple[str, dict[str, str] | None] | None:
        """Returns (id, files of a folder or None) of what is at `path` (relative to the root) now; None when
        nothing is.
        """
        location = self.root / path
        if location not in self._ids:
            self._ids[location] = (
                content_id(location, ignored_below(self.root, location)) if location.exists() else None
            )
        return self._ids[location]

    # -- recorded listings of folders ------------------------------------------------------------------------

    def files(self, digest: str, path: str | None = None) -> dict[str, str] | None:
        """Returns {relative path: md5} of a recorded folder, from DVC's cache, a stored listing, or git; None
        if none of them verifies.
        """
        if not digest.endswith(".dir"):
            return None
        for source in (self.object(digest), self.root / MANIFESTS / f"{digest}.json"):
            try:
                files = {row["relpath"]: row["md5"] for row in json.loads(source.read_bytes())}
            except (OSError, ValueError, KeyError, TypeError):
                # an unreadable listing is as good as none; the object's own damage is found by `stored`
                continue
            if folder_digest(files) == digest:
                return files
        return self._files_in_git(digest, path) if path else None

    def _files_in_git(self, digest: str, path: str) -> dict[str, str] | None:
        """Returns the listing of raw data from git, where some commit holds files with the recorded digest;
        None otherwise.
        """
        try:
            return source_state.recorded_files(self.root, path, digest)
        except (NoGit, subprocess.CalledProcessError):
            return None

    def remember(self, path: str, digest: str) -> bool:
        """Store the listing of an input folder that no stage makes, so that a changed file can be named
        later. Returns whether it was stored.
        """
        target = self.root / MANIFESTS / f"{digest}.json"
        if not digest.endswith(".dir") or target.exists():
            return False
        content = self.at(path)
        if content is None or content[0] != digest or content[1] is None:
            return False
        durable.write(target, listing_text(content[1]))
        return True

    # -- verdicts --------------------------------------------------------------------------------------------

    def stored(self, digest: str) -> ContentState:
        """Returns whether DVC's cache holds the bytes: cached, corrupt or missing. Each object is read and
        compared with its name.
        """
        status = self._object(digest)
        if status != CACHED or not digest.endswith(".dir"):
            return ContentState(status, {})
        states = {name: self._object(md5) for name, md5 in (self.files(digest) or {}).items()}
        worst = CORRUPT if CORRUPT in states.values() else MISSING if MISSING in states.values() else CACHED
        return ContentState(worst, {name: state for name, state in states.items() if state != CACHED})

    def _object(self, digest: str) -> str:
        if digest not in self._objects:
            path = self.object(digest)
            matches = path.is_file() and file_digest(path) == digest.removesuffix(".dir")
            self._objects[digest] = CACHED if matches else CORRUPT if path.exists() else MISSING
        return self._objects[digest]

    def verdict(self, path: str, digest: str, belongs: bool, place: Path | None = None) -> ContentState:
        """Returns the state of the bytes `digest` that were recorded for `path`.

        `belongs`: the workspace should hold exactly this content now, according to dvc.lock. `place`: the
        bytes in question are there (a checkpoint that was copied elsewhere), and no others can replace them.
        """
        content = self.at(place or path)
        if content and content[0] == digest:
            return ContentState(OK, {})
        if content and (belongs or place):
            return ContentState(CHANGED, self.differences(digest, content[1], path))
        stored = self.stored(digest)
        if stored.status == MISSING and self._files_in_git(digest, path) is not None:
            return ContentState(IN_GIT, {})
        return stored

    def differences(
        self, digest: str, now: Mapping[str, str] | None, path: str | None = None
    ) -> dict[str, str]:
        """Returns {file: changed, new or gone} between a recorded folder and the files `now`; empty without a
        listing of the recorded one.
        """
        before = self.files(digest, path)
        return file_differences(before, now) if before is not None and now is not None else {}

    # -- getting bytes back ----------------------------------------------------------------------------------

    def materialise(self, path: str, digest: str, target: Path) -> None:
        """Copy the recorded bytes to `target`, from the workspace or else the cache, verified. Raises
        FileNotFoundError when neither has them.
        """
        content = self.at(path)
        if content and content[0] == digest:
            source = self.root / path
            shutil.copytree(source, target, dirs_exist_ok=True) if source.is_dir() else _copy(source, target)
            return
        stored = self.stored(digest)
        if stored.status != CACHED:
            raise FileNotFoundError(
                f"{path} with content {digest} is neither in the workspace nor whole in DVC's cache "
                f"({stored.status}); "
                "fetch it with `dvc fetch --run-cache --all-commits` or restore the file"
            )
        if not digest.endswith(".dir"):
            _copy(self.object(digest), target)
            return
        for name, md5 in (self.files(digest) or {}).items():
            _copy(self.object(md5), target / name)


def _copy(source: Path, target: Path) -> None:
    """Copy a file's bytes: with a hard link, a writer could change the cache."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def file_differences(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Returns {file: changed, new or gone} between two listings {relative path: md5}."""

    def pairs() -> Iterator[tuple[str, str]]:
        for name in sorted(before.keys() | now.keys()):
            if name not in now:
                yield name, "gone"
            elif name not in before:
                yield name, "new"
            elif before[name] != now[name]:
                yield name, "changed"

    return dict(pairs())


def remember_raw(root: Path, inputs: Mapping[str, str]) -> None:
    """Store the listings of pinned input folders that no stage makes; `inputs` maps paths to digests. Each is
    read once per content.
    """
    contents = Contents(root)
    for path, digest in inputs.items():
        if not contents.object(digest).exists():
            contents.remember(path, digest)
