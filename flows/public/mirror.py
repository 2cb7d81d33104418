"""A mirror: a folder of this machine that holds the bytes of public data sets, so that nothing is fetched."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from flows.public.catalogue import PublicFile, PublicSet

VARIABLE = "WHETSTONE_DATA"
SETTING = "execution.data_mirror"


def folder(root: Path, setting: str | None) -> Path | None:
    """Returns the mirror: WHETSTONE_DATA, else the setting, relative to the project; None without one."""
    text = os.environ.get(VARIABLE) or setting
    return root / Path(text).expanduser() if text else None


def candidates(mirror: Path, name: str, entry: PublicSet, file: str) -> Iterator[Path]:
    """Yields the files of the mirror that may hold a set's file: plain or .gz, in the mirror's folder for it,
    or in one of the set's name (another project's public/ is a mirror).
    """
    for place in dict.fromkeys((f"{entry.mirror}/{entry.files[file].mirror or file}", f"{name}/{file}")):
        for suffix in ("", ".gz"):
            path = mirror / f"{place}{suffix}"
            if path.is_file():
                yield path


def holds(mirror: Path | None, name: str, entry: PublicSet) -> bool:
    """Returns whether the mirror has a file for each of the set's; their bytes are not read."""
    return mirror is not None and all(any(candidates(mirror, name, entry, file)) for file in entry.files)


def plain(path: Path, pinned: PublicFile) -> bytes:
    """Returns the content of a mirror's file, decompressed, and no more of it than tells that it is too long.
    Raises OSError.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as stream:
            return stream.read(pinned.bytes + 1)
    except (EOFError, zlib.error) as error:
        raise OSError(f"{path} breaks off or is no gzip file ({error})") from error
