"""public.yaml: the public data sets that recipes read as `public/NAME`, each file pinned by its sha256.

The digest is that of the file as a stage reads it, after whatever was taken of the publisher's file, and of
its plain form: so a mirror serves it plain or as .gz, and where it came from can change no result.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urljoin, urlsplit

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from flows.graph.params_file import ParamsError
from pipelines.settings import Settings

FILE = "public.yaml"
FOLDER = "public"  # of the project; ignored by git
SLICE = re.compile(r"(\d*):(\d*)(?::(\d+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class PublicFile(Settings):
    """A file of a set, as stages read it. Without `url` nothing but a mirror has it."""

    bytes: int = Field(ge=1, description="size")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="digest")
    url: str | None = Field(None, description="the publisher's file, relative to the set's url; plain or .gz")
    limit: int | None = Field(
        None, ge=1, description="most bytes of the publisher's file; default: as many as `bytes`"
    )
    rows: str | None = Field(
        None, pattern=SLICE.pattern + "$", description="its lines that are taken, as Python slices"
    )
    lines: str | None = Field(
        None, description="file beside public.yaml: sha256 (first 8 digits) of the lines taken"
    )
    convert: Literal["humaneval_ids", "csv"] | None = Field(None, description="how its lines become JSON")
    sort: str | None = Field(None, description="column by whose text the rows taken are sorted")
    add: dict[str, str] = Field({}, description="columns that every row of a CSV file is given")
    mirror: str | None = Field(
        None, description="its place in the set's folder of a mirror; default: its name"
    )
    more: list[str] = Field([], description="further files, of the same form, whose rows follow")

    @property
    def most(self) -> int:
        """The most bytes that are read of the publisher's file, also after decompression."""
        return self.limit or self.bytes


class PublicSet(Settings):
    """A data set: `public/NAME` with these files."""

    title: str
    licence: str = Field(description="SPDX expression")
    origin: str = Field(description="the publisher's page, with the revision that the bytes are of")
    url: str | None = Field(None, description="what the urls of its files are relative to; holds a commit")
    mirror: str = Field(description="its folder in a mirror")
    note: str = Field(
        "", description="what a reader must know: how the rows were made where they cannot be fetched"
    )
    files: dict[str, PublicFile] = Field(min_length=1)

    @field_validator("url")
    @classmethod
    def _pinned(cls, url: str | None) -> str | None:
        if url is None or urlsplit(url).hostname in LOOPBACK:
            return url
        if not url.startswith("https://") or not COMMIT.search(url):
            raise ValueError("an https URL that holds the commit is expected")
        return url

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name, file in self.files.items():
            if Path(name).name != name or name.startswith("."):
                raise ValueError(f"files.{name}: a plain file name is expected")
            for url in self.urls(file):
                self._pinned(url)
        return self

    @property
    def size(self) -> int:
        """Bytes of its files, as they come to lie in public/NAME."""
        return sum(file.bytes for file in self.files.values())

    @property
    def fetched(self) -> bool:
        """Whether all of it can be fetched from the publisher."""
        return all(file.url is not None for file in self.files.values())

    def urls(self, file: PublicFile) -> list[str]:
        """Returns the addresses of the publisher's files that make `file`."""
        return [urljoin(self.url or "", name) for name in (file.url, *file.more) if name is not None]


def read(root: Path) -> dict[str, PublicSet]:
    """Returns {name: set}; empty where the project has no public.yaml. Raises ParamsError."""
    path = root / FILE
    if not path.is_file():
        return {}
    try:
        content = yaml.load(path.read_text("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        if not isinstance(content, dict):
            raise ParamsError([f"{FILE}: a mapping of names to sets is expected"])
        return {str(name): PublicSet.model_validate(value) for name, value in content.items()}
    except yaml.YAMLError as error:
        raise ParamsError([f"{FILE}: {' '.join(str(error).split())}"]) from error
    except ValidationError as error:
        raise ParamsError([f"{FILE}: {_place(fault)}: {fault['msg']}" for fault in error.errors()]) from error


def _place(fault: Any) -> str:
    return ".".join(map(str, fault["loc"])) or "set"


def named(paths: Iterable[str]) -> Iterator[str]:
    """Yields the set that each path below public/ is of."""
    for path in dict.fromkeys(paths):
        parts = Path(path).parts
        if len(parts) > 1 and parts[0] == FOLDER:
            yield parts[1]


def unknown(name: str, sets: Iterable[str]) -> str:
    """Returns what to say of a name that public.yaml does not have."""
    sets = list(sets)
    close = difflib.get_close_matches(name, sets, n=1)
    hint = f"nearest: {close[0]}" if close else f"known: {', '.join(sets) or 'none'}"
    return f"{FILE} has no set {name}; {hint}"


def state(root: Path, name: str, file: str, pinned: PublicFile) -> str:
    """Returns `here`, `missing` or `differs` (other bytes under this name) of a file of a set; it is read."""
    path = root / FOLDER / name / file
    if not path.is_file():
        return "missing"
    if path.stat().st_size != pinned.bytes:
        return "differs"
    with open(path, "rb") as stream:
        return "here" if hashlib.file_digest(stream, "sha256").hexdigest() == pinned.sha256 else "differs"


def lacking(root: Path, name: str, entry: PublicSet) -> list[str]:
    """Returns the files of a set that are not in public/NAME."""
    return [file for file in entry.files if not (root / FOLDER / name / file).is_file()]


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.0f} kB"


def described(entry: PublicSet) -> str:
    """Returns title, licence, size and origin as one phrase."""
    return f"{entry.title}; {entry.licence}, {megabytes(entry.size)}, of {entry.origin}"
