"""File writes that survive a loss of power: the bytes reach the disk before the name does, and the name
before the call returns.

A rename alone is atomic only for other processes. After a power loss many file systems show the new name with
zeros as its content.
"""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: str | Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not os.path.isdir(path):  # some network file systems know no fsync of folders; of files all do
            raise
    finally:
        os.close(descriptor)


def sync_tree(path: str | Path) -> None:
    """Wait until a file, or a folder with everything in it, is on the disk."""
    if not os.path.isdir(path):
        sync(path)
        return
    for parent, _, names in os.walk(path):
        for name in names:
            if os.path.isfile(os.path.join(parent, name)):
                sync(os.path.join(parent, name))
        sync(parent)


def replace(source: str | Path, target: str | Path) -> None:
    """Rename `source` over `target`. The new name is on the disk when this returns; the bytes of `source`
    must be there already.
    """
    os.replace(source, target)
    sync(Path(target).parent)


def write(path: Path, data: str | bytes) -> None:
    """Replace a file atomically and durably. Creates its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            stream.write(data.encode() if isinstance(data, str) else data)
            stream.flush()
            os.fsync(stream.fileno())
        replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
