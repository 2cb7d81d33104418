"""The subject of a lineage or an audit: a checkpoint folder (in the project or copied elsewhere), another
output, or a registered model.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from flows.graph.stage_records import mapping
from flows.provenance.content import Contents
from flows.provenance.history import History
from tasks.checkpoint_lineage import NAME
from tasks.content import folder_digest

CARDS = ("README.md", ".gitattributes")  # what an export, and the hub, lay beside a model's own files
CHECKPOINT, VERSION, FILE = "checkpoint", "model version", "file"
_REGISTERED = re.compile(r"(?P<name>[^:@/]+)(?::(?P<version>\d+)|@(?P<alias>[^:@/]+))?")


class UnknownSubject(ValueError):
    """The text names neither a path, nor a recorded output, nor a registered model."""


@dataclass(frozen=True)
class LineageSubject:
    """`place`: where its bytes should be. `path`: the project path that they are recorded under, None for a
    copy. `record`: its lineage.json.

    `flat`: model files and lineage.json are in one folder. `digest`: the content that a registry version
    names. `version`: its row.
    """

    shown: str
    kind: str
    place: Path
    path: str | None = None
    record: Path | None = None
    flat: bool = False
    digest: str | None = None
    version: Mapping[str, Any] = field(default_factory=dict)

    def content(self, contents: Contents) -> tuple[str, dict[str, str] | None] | None:
        """Returns (id, files) of the bytes at `place`; None when there are none."""
        content = contents.at(self.place)
        if content and self.flat and content[1]:
            known = mapping(self.recorded.get("files"))
            beside = {NAME, *(name for name in CARDS if name not in known)}
            files = {name: md5 for name, md5 in content[1].items() if name not in beside}
            return folder_digest(files), files
        return content

    @cached_property
    def recorded(self) -> Mapping[str, Any]:
        """The checkpoint's own lineage.json; empty when it has none that can be read."""
        return read_record(self.record)


def read_record(path: Path | None) -> Mapping[str, Any]:
    """Returns the content of a lineage.json; empty when it is missing, truncated or not an object."""
    try:
        value = json.loads(path.read_bytes()) if path else {}
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def locate(contents: Contents, history: History, text: str) -> LineageSubject:
    """Returns the subject that `text` names: a path (relative to the current folder or the root), else
    `NAME`, `NAME:VERSION` or `NAME@ALIAS` of the registry. Raises UnknownSubject.
    """
    root = contents.root
    for candidate in (Path(text).absolute(), root / text):
        if candidate.exists():
            return _at(root, _named(root, candidate), text)
    inside = Path(text).is_absolute() and Path(text).is_relative_to(root)
    recorded = Path(text).relative_to(root).as_posix() if inside else text.rstrip("/")
    for path in (f"{recorded}/model", recorded):
        if history.current(path):
            record = root / recorded.removesuffix("/model") / NAME
            return LineageSubject(
                text,
                CHECKPOINT if path.endswith("/model") else FILE,
                root / path,
                path,
                record if record.exists() else None,
            )
    match = _REGISTERED.fullmatch(text)
    if match is None:
        raise UnknownSubject(
            f"{text}: there is no such path, and no stage has recorded it; `whetstone status` lists what "
            f"there is"
        )
    return _registered(root, history, text, match)


def _named(root: Path, place: Path) -> Path:
    """Returns the path below the root without resolving links inside it, so that a link to another checkpoint
    differs from that checkpoint; a path outside is resolved.
    """
    absolute = Path(os.path.abspath(place))
    for folder in (absolute, *absolute.parents):
        if folder.resolve() == root:
            return root / absolute.relative_to(folder)
    return absolute.resolve()


def _at(root: Path, folder: Path, text: str) -> LineageSubject:
    if folder.name == NAME and folder.is_file():
        folder = folder.parent
    if (folder / "model").is_dir() or ((folder / NAME).exists() and not _holds_model(folder)):
        model, record, flat = folder / "model", folder / NAME, False
    elif (folder / NAME).exists():
        model, record, flat = folder, folder / NAME, True
    else:
        model, record, flat = folder, folder.parent / NAME, False
    path = model.relative_to(root).as_posix() if model.is_relative_to(root) else None
    has_record = record.exists() and (flat or model.name == "model")
    kind = CHECKPOINT if has_record or model.name == "model" else FILE
    return LineageSubject(text, kind, model, path, record if has_record else None, flat)


def _holds_model(folder: Path) -> bool:
    """Returns whether files lie beside lineage.json: then the folder is a flat copy, not a checkpoint whose
    model folder is gone.
    """
    return any(child.name != NAME for child in folder.iterdir())


def _registered(root: Path, history: History, text: str, match: re.Match[str]) -> LineageSubject:
    from tasks.tracking import CURRENT, Tracking

    messages: list[str] = []
    name, version, alias = match["name"], match["version"], match["alias"]
    rows = Tracking(root, say=messages.append).versions(name) or []
    if not rows:
        reason = messages[0] if messages else f"the registry knows no model {name}"
        raise UnknownSubject(
            f"{text}: there is no such path, and {reason}. Give a folder (models/NAME) or run "
            f"`whetstone run` first"
        )
    if version:
        chosen = [row for row in rows if row["version"] == version]
    elif alias and alias != "latest":
        chosen = [row for row in rows if alias in row["aliases"]]
    else:
        chosen = ([row for row in rows if CURRENT in row["aliases"]] if not alias else []) or rows[-1:]
    if not chosen:
        known = ", ".join(
            f"{name}:{row['version']}" + "".join(f" (@{tag})" for tag in row["aliases"]) for row in rows
        )
        raise UnknownSubject(f"{text}: the registry has no such version or alias; known: {known}")
    row = chosen[0]
    path = row["path"] or row["source"].removeprefix("dvc://").partition("/")[2]
    record = (root / path).parent / NAME
    is_own = read_record(record).get("model_digest") == row["digest"]
    return LineageSubject(
        text, VERSION, root / path, path, record if is_own else None, digest=row["digest"], version=row
    )
