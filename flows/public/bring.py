"""Filling public/NAME: from a mirror, else from the publisher. A file gets its name only when its digest is
right, and the folder appears with its last file.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flows.public import catalogue, mirror
from flows.public.catalogue import FOLDER, PublicFile, PublicSet
from tasks import durable

UNFINISHED = ".bringing-"  # what a folder is called until all of it is there


class PublicDataError(RuntimeError):
    """A public set cannot be had. The message says why, and the way out."""


@dataclass(frozen=True)
class Want:
    """A set that settings name as public/NAME, and where it may come from."""

    root: Path
    name: str
    entry: PublicSet
    mirror: Path | None
    offline: bool

    @property
    def mirrored(self) -> bool:
        return mirror.holds(self.mirror, self.name, self.entry)

    @property
    def obtainable(self) -> bool:
        """Whether `bring` has somewhere to take it from; nothing is tried."""
        return self.mirrored or (not self.offline and self.entry.fetched)

    @property
    def lacks(self) -> bool:
        return bool(catalogue.lacking(self.root, self.name, self.entry))

    @property
    def faults(self) -> list[str]:
        """What is wrong with files that are here; their bytes are read."""
        return [
            f"{FOLDER}/{self.name}/{file} is not the published file (sha256 {pinned.sha256[:12]}…): remove "
            f"it and `whetstone run` brings it again, or name a folder of your own in its place"
            for file, pinned in self.entry.files.items()
            if catalogue.state(self.root, self.name, file, pinned) == "differs"
        ]

    @property
    def remedy(self) -> str:
        """The command that helps."""
        available = self.obtainable or self.entry.fetched
        return f"whetstone fetch {self.name}" if available else f"export {mirror.VARIABLE}=FOLDER"

    @property
    def sentence(self) -> str:
        """What is missing, with licence and size, and the way out."""
        said = f"{FOLDER}/{self.name} is not here: {catalogue.described(self.entry)}"
        if self.mirrored:
            return f"{said}; `whetstone run` takes it from {self.mirror}"
        if self.obtainable:
            return f"{said}; `whetstone run` fetches it"
        held = (
            f"{self.mirror} lacks it"
            if self.mirror
            else f"{mirror.VARIABLE} or {mirror.SETTING} may name one"
        )
        ways = f"a folder that holds the same bytes serves ({held})"
        if self.entry.fetched:
            commands = (
                f"`whetstone fetch {self.name}` or `whetstone run -S execution.offline=false` fetches it"
            )
            return f"{said}; {commands}; {ways}"
        return f"{said}; it cannot be fetched ({self.entry.note}); {ways}"


def bring(want: Want, say: Callable[[str], None] = lambda text: None) -> str:
    """Bring the files of a set that are not here. Returns where they came from: `here`, the mirror, or the
    publisher. Raises PublicDataError; nothing is then left that was not there before.
    """
    if faults := want.faults:
        raise PublicDataError("\n".join(faults))
    files = catalogue.lacking(want.root, want.name, want.entry)
    if not files:
        return "here"
    origins, target = [], want.root / FOLDER / want.name
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target.parent)
    scratch = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=target.parent))
    try:
        for file in files:
            content, origin = _content(want, file, want.entry.files[file])
            (scratch / file).write_bytes(content)
            origins.append(origin)
        durable.sync_tree(scratch)
        if target.exists():
            for file in files:
                durable.replace(scratch / file, target / file)
        else:
            scratch.chmod(0o755)
            durable.replace(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    origin = ", ".join(dict.fromkeys(origins))
    say(f"{FOLDER}/{want.name} from {origin} ({want.entry.licence}, {catalogue.megabytes(want.entry.size)})")
    return origin


def _sweep(folder: Path) -> None:
    """Remove what a killed process left half-fetched; callers hold the workspace."""
    for path in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)


def _content(want: Want, file: str, pinned: PublicFile) -> tuple[bytes, str]:
    """Returns the bytes of a file, whose digest is right, and where they came from."""
    others = []
    for path in mirror.candidates(want.mirror, want.name, want.entry, file) if want.mirror else ():
        try:
            content = mirror.plain(path, pinned)
        except OSError as error:
            others.append(str(error))
            continue
        if _right(content, pinned):
            return content, str(path.parent)
        others.append(f"{path} holds other bytes")
    if want.offline or pinned.url is None:
        raise PublicDataError("; ".join([want.sentence, *others]))
    from flows.public.upstream import FetchError, made  # httpx: 60 ms, which a plan does not need

    try:
        content = made(want.root, want.entry, pinned)
    except FetchError as error:
        raise PublicDataError("; ".join([f"{FOLDER}/{want.name}/{file}: {error}", *others])) from error
    if not _right(content, pinned):
        digest = hashlib.sha256(content).hexdigest()
        raise PublicDataError(
            f"{FOLDER}/{want.name}/{file}: {' and '.join(want.entry.urls(pinned))} gives other bytes than "
            f"those it is pinned to ({len(content)} bytes, sha256 {digest[:12]}…; expected {pinned.bytes}, "
            f"{pinned.sha256[:12]}…): nothing of it was kept"
        )
    return content, want.entry.urls(pinned)[0]


def _right(content: bytes, pinned: PublicFile) -> bool:
    return len(content) == pinned.bytes and hashlib.sha256(content).hexdigest() == pinned.sha256
