"""Which files have been verified against their records, remembered by name, size, time of change and inode.

DVC trusts whatever a remote sends and notes it as if it had hashed it: a truncated object passes as fresh.
Here every file of a recorded output is read once after it arrived, and again only when its stamp changes; 1
GB takes about two seconds. A change that keeps all stamps is found by `whetstone audit`, which reads
everything.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tasks import durable
from tasks.content import content_id, dvc_object, file_digest, ignored_below, listed

STATE = ".whetstone/verified.json"


def _stamp(paths: Iterable[Path]) -> str:
    """Returns a hash of the files' names, sizes, times of change and inodes. A missing file has a stamp
    too.
    """
    rows = []
    for path in paths:
        try:
            status = path.stat()
            rows.append([str(path), status.st_size, status.st_mtime_ns, status.st_ino])
        except OSError:
            rows.append([str(path), None, None, None])
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:24]


def _below(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(Path(parent, name) for parent, _, names in os.walk(path) for name in names)


class Verified:
    """The verified files of this project. `save` keeps the list for the next process."""

    def __init__(self, root: Path, cache: Path):
        self.root, self.cache = root, cache
        self._changed = False
        try:
            known = json.loads((root / STATE).read_bytes())
        except (OSError, ValueError):
            known = {}
        self._known: dict[str, Any] = known if isinstance(known, dict) else {}

    def holds(self, path: str, digest: str) -> bool:
        """Returns whether the file or folder at `path` (relative to the root) has the content `digest`; False
        also when it does not exist.
        """
        location = self.root / path
        if not location.exists():
            return False
        stamp = _stamp(_below(location))
        if self._known.get(path) == [stamp, digest]:
            return True
        if content_id(location, ignored_below(self.root, location))[0] != digest:
            return False
        self._note(path, stamp, digest)
        return True

    def trust(self, path: str, digest: str) -> None:
        """Note bytes as verified that have just been hashed to this digest elsewhere."""
        location = self.root / path
        if location.exists():
            self._note(path, _stamp(_below(location)), digest)

    def damaged_objects(self, digest: str) -> list[Path]:
        """Returns the existing cache objects of a file or folder whose bytes do not match their names; a
        folder's listing is one of them.
        """
        object_path = dvc_object(self.cache, digest)
        if not object_path.is_file():
            return []
        places = {md5: dvc_object(self.cache, md5) for md5 in [digest, *listed(self.cache, digest).values()]}
        stamp = _stamp(places.values())
        if self._known.get(digest) == [stamp, digest]:
            return []
        damaged = [
            location
            for md5, location in places.items()
            if location.is_file() and file_digest(location) != md5.removesuffix(".dir")
        ]
        if not damaged:
            self._note(digest, stamp, digest)
        return damaged

    def _note(self, key: str, stamp: str, digest: str) -> None:
        self._known[key] = [stamp, digest]
        self._changed = True

    def save(self) -> None:
        if self._changed:
            durable.write(self.root / STATE, json.dumps(self._known, indent=0, sort_keys=True))
            self._changed = False
