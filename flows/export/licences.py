"""Licences of what a model was made from: what params.yaml says (`licences`), public.yaml of public sets, and
the files beside data and base models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from flows.graph.contradictions import LICENCES
from flows.graph.params_file import PARAMS, read_yaml
from flows.public import catalogue

LICENCE_FILES = re.compile(r"(LICEN[CS]E|COPYING)(\..*)?", re.I)
FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.S)
NOT_STATED = "not stated"


@dataclass(frozen=True)
class Licences:
    """`said`: licences by folder, or by a model's id, which files beside them do not overrule."""

    root: Path | None
    said: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path | None) -> Licences:
        """Returns those of a project, as its files say them now. Raises ParamsError."""
        if root is None:
            return cls(None)
        public = {f"{catalogue.FOLDER}/{name}": entry.licence for name, entry in catalogue.read(root).items()}
        own = read_yaml(root / PARAMS).get(LICENCES) or {}
        return cls(root, {**public, **{str(name): str(licence) for name, licence in own.items()}})

    def of_source(self, name: str) -> str:
        """Returns the licence of a folder or file of data, or of a base model: what is said of it or of a
        folder that it lies in, else the `license` of the head of README.md there, or the first line of a
        LICENSE file; also of one or two folders above, below the project's own.
        """
        place = Path(name)
        for candidate in (place, *place.parents):
            if said := self.said.get(candidate.as_posix().partition("@")[0]):  # an id, at a commit
                return said
        if self.root is not None:
            place = self.root / place
        for candidate in [place, *place.parents][:3]:
            if candidate == self.root or candidate == candidate.parent:
                break
            if candidate.is_dir() and (stated := _stated(candidate)):
                return stated
        return NOT_STATED


def _stated(folder: Path) -> str | None:
    readme = folder / "README.md"
    if readme.is_file() and (match := FRONT_MATTER.match(readme.read_text("utf-8", "replace"))):
        try:
            head = yaml.safe_load(match[1])
        except yaml.YAMLError:
            head = None
        named = head.get("license") if isinstance(head, Mapping) else None
        if named:
            return ", ".join(map(str, named)) if isinstance(named, list) else str(named)
    for path in sorted(folder.iterdir()):
        if LICENCE_FILES.fullmatch(path.name) and path.is_file():
            lines = (line.strip() for line in path.read_text("utf-8", "replace").splitlines())
            return f"{path.name}: {next(filter(None, lines), '')[:80]}"
    return None
