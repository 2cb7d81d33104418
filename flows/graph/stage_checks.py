"""The checks that stages bring for their settings (`tasks/checks.py`). They run for every member of a section
whose stage has a module `tasks/NAME_check.py`.

Every member that is valid by itself is checked, so that all problems are reported at once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from flows.graph.families import at, families, overlays
from flows.graph.problems import describe
from flows.graph.references import Problem
from flows.graph.sections import with_members_laid
from pipelines.settings import ROOT


def problems(raw: Any, params: type[BaseModel], root: Path | None = None) -> Iterator[Problem]:
    """Yields the problems that the stages' own checks find. `params` is the record of the whole file."""
    file = Members(raw, params)
    for family in families(root):
        check = _check_of(family.name) if family.over else None
        if check is None:
            continue
        for name in file.names(*family.over):
            settings = file.find(*family.over, name)
            for key, text in check(settings, file) if settings is not None else ():
                yield ".".join((*family.over, name, key)), text


def unused(raw: Any, params: type[BaseModel], root: Path | None = None) -> Iterator[Problem]:
    """Yields the problems of settings that members would be laid over (`sft.common`) while there is no
    member: unknown keys, and values of a wrong type or range. A member may still supply what is missing or
    contradictory.
    """
    for members, layers in overlays(root).items():
        record = member_record(params, members)
        if record is None or at(raw, members):
            continue
        for layer in layers:
            value = at(raw, layer.split("."))
            if not isinstance(value, dict):
                continue
            try:
                record.model_validate(copy.deepcopy(value))
            except ValidationError as error:
                for item in error.errors():
                    if item["type"] not in ("missing", "value_error", "assertion_error"):
                        path, text = describe(item, value, record)
                        yield ".".join((layer, *path)), text


def _check_of(stage: str) -> Any:
    """Returns the function `check` of a stage, or None."""
    path = ROOT / "tasks" / f"{stage}_check.py"
    return import_module(f"tasks.{path.stem}").check if path.is_file() else None


class Members:
    """The members of a file's sections as typed records (`tasks.checks.File`)."""

    def __init__(self, raw: Any, params: type[BaseModel]):
        self.laid = with_members_laid(raw)
        self._params = params
        self._records: dict[tuple[str, ...], Any] = {}

    def names(self, *path: str) -> list[str]:
        """Returns the keys of the mapping at a path; none where there is none."""
        section = at(self.laid, path)
        return [str(name) for name in section] if isinstance(section, dict) else []

    def find(self, *path: str) -> Any:
        """Returns the typed record of the member at a path; the plain values where no record describes its
        section; None where there is no member, or it is invalid by itself.
        """
        if path not in self._records:
            self._records[path] = self._read(path)
        return self._records[path]

    def _read(self, path: tuple[str, ...]) -> Any:
        value, record = at(self.laid, path), member_record(self._params, path[:-1])
        if value is None or record is None:
            return value
        try:
            return record.model_validate(copy.deepcopy(value))
        except ValidationError:
            return None


@lru_cache(maxsize=64)
def member_record(params: type[BaseModel], section: tuple[str, ...]) -> type[BaseModel] | None:
    """Returns the record class of a section's members (of `rl.runs` that of a run of rl), or None."""
    kind: Any = params
    for step in section:
        field = kind.model_fields.get(step) if _is_record(kind) else None
        if field is None:
            return None
        kind = field.annotation
    members = get_args(kind)
    return members[1] if len(members) == 2 and _is_record(members[1]) else None


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
