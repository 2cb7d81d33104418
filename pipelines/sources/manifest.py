"""The manifest of a source, `sources/NAME.json`: where it came from, and the digests of every file that is
used.

All that a stage learns about a source it reads here, and it loads no file whose bytes are not the ones
digested.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.sources.source_params import Kind

BLOCK = 1 << 22


class SourceError(ValueError):
    """A source cannot be used: it is missing, changed or damaged. The message names the file and what to
    do.
    """


class SourceDamaged(SourceError):
    """The bytes exist but differ from the recorded ones."""


class Digest(NamedTuple):
    """The digests of a file: `sha256` as the hub uses it, `md5` as DVC does; `size` in bytes."""

    sha256: str
    md5: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """`source` is {"path"}, {"hub", "revision", "commit"} or {"package", "version", "file"}; `files` maps
    relative names to digests.
    """

    kind: Kind
    source: Mapping[str, Any]
    files: Mapping[str, Digest]

    @property
    def shown(self) -> str:
        """The source as text for people."""
        if "hub" in self.source:
            return f"{self.source['hub']}@{self.source['commit'][:12]}"
        return str(
            self.source.get("path")
            or f"{self.source['package']} {self.source['version']}: {self.source['file']}"
        )

    @property
    def pin(self) -> dict[str, Any]:
        """The pinned facts: {"commit" or "version", "files": {name: sha256}}."""
        version = {key: self.source[key] for key in ("commit", "version") if key in self.source}
        return {**version, "files": {name: digest.sha256 for name, digest in sorted(self.files.items())}}

    def check(self, pin: Mapping[str, Any]) -> None:
        """Raises SourceDamaged, which names the files whose bytes differ from the pinned ones, and missing
        and new files.
        """
        files = pin["files"]
        faults = [f"{name} is not there" for name in files if name not in self.files]
        faults += [
            f"{name} has other bytes"
            for name, digest in self.files.items()
            if files.get(name, digest.sha256) != digest.sha256
        ]
        faults += [f"{name} is new" for name in self.files if name not in files]
        if faults:
            raise SourceDamaged(
                f"{self.shown} is not what was first taken in under this name: {'; '.join(faults[:8])}"
            )

    def text(self) -> str:
        files = {name: dict(digest._asdict()) for name, digest in sorted(self.files.items())}
        return json.dumps({**asdict(self), "files": files}, indent=1, sort_keys=True) + "\n"

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_text(self.text(), "utf-8")
        os.replace(temporary, path)


def read(path: Path) -> Manifest:
    """Returns the manifest in a file. Raises SourceError where it is missing or damaged."""
    try:
        row = json.loads(path.read_text("utf-8"))
        return Manifest(
            row["kind"], row["source"], {name: Digest(**digest) for name, digest in row["files"].items()}
        )
    except FileNotFoundError:
        raise SourceError(
            f"{path} is missing: the source has not been taken in; `whetstone run` does it"
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SourceError(
            f"{path} cannot be read as a source's manifest ({error}); delete it and run `whetstone run`"
        ) from error


def digest(path: Path) -> Digest:
    """Returns the digests of a file, which is read once."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with open(path, "rb", buffering=0) as stream:
        while block := stream.read(BLOCK):
            sha256.update(block)
            md5.update(block)
            size += len(block)
    return Digest(sha256.hexdigest(), md5.hexdigest(), size)


def differences(manifest: Manifest, folder: Path) -> dict[str, str]:
    """Returns {file: what is wrong} for the manifest's files that differ in `folder`; every byte is read."""
    changes = {}
    for name, digest in manifest.files.items():
        path = folder / name
        if not path.is_file():
            changes[name] = "is missing"
        elif path.stat().st_size != digest.size or _sha256(path) != digest.sha256:
            changes[name] = "changed"
    return changes


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
