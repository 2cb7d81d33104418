"""The whole of params.yaml as one typed record, and the check of the whole file before anything is computed.

The sections' own records lie beside the code that they configure, and dvc.yaml names them; this module only
joins them, so stages never import it.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, create_model, model_validator

from flows.graph import stage_checks
from flows.graph.contradictions import contradictions
from flows.graph.families import DVC_YAML, at, defaults, preset_sections, resolved, sections, stamp
from flows.graph.fill import filled
from flows.graph.params_file import PARAMS, ParamsError, read_yaml
from flows.graph.presets import with_presets
from flows.graph.problems import describe, remove
from flows.graph.section_records import section_fields
from flows.graph.sections import with_members_laid
from flows.graph.stage_checks import member_record
from pipelines.settings import ROOT, Settings
from tasks.execution_params import ExecutionParams


class Identity(Settings):
    """Settings that are part of the identity of every result."""

    seed: int = Field(0, ge=0, lt=2**31, description="seed of everything random")
    environment: tuple[str, ...] = Field(
        ("torch", "transformers", "deepspeed", "numba"),
        description="packages whose major.minor version is part of a stage's identity if it imports them",
    )


class Params(Settings):
    """The whole of params.yaml: what belongs to no stage, and, in the record that `params_record` derives,
    the section of every stage.
    """

    identity: Identity
    execution: ExecutionParams
    licences: dict[str, str] = Field(
        {},
        description=(
            "licences of raw data and base models, by the folder or id that this file names them with; "
            "for the cards of exported models, and part of no result"
        ),
    )
    presets: ClassVar[Collection[tuple[str, ...]]] = ()
    # sections of the user's own stages, which no record describes
    _own: dict[str, Any] = PrivateAttr({})

    @model_validator(mode="before")
    @classmethod
    def _lay(cls, value: Any) -> Any:
        return _without_contradicting_presets(with_members_laid(value), cls)

    def section(self, dotted: str) -> Any:
        """Returns the record or value of a section as dvc.yaml names it: `rl.runs.grpo`, `corpus.exam`,
        `identity.seed`.

        What runs are laid over counts as theirs, and names no code or source by itself: presets and `common`
        are no records.
        """
        value: Any = self
        path = tuple(dotted.split("."))
        if path[0] in self._own:
            return at(self._own, path)
        if path[:-1] in self.presets:
            return {}
        for part in path:
            value = value[part] if isinstance(value, dict) else getattr(value, part)
        return value


def params_record(root: Path | None = None) -> type[Params]:
    """Returns the record of params.yaml with the sections that dvc.yaml's stages describe, of this project
    where the folder has no dvc.yaml.
    """
    folder = root if root is not None and (root / DVC_YAML).exists() else ROOT
    return _params_record(folder, stamp(folder))


@lru_cache(maxsize=8)
def _params_record(root: Path, _: Any) -> type[Params]:
    record = create_model("Params", __base__=Params, __module__=__name__, **section_fields(root))
    record.__doc__ = Params.__doc__
    record.presets = preset_sections(root)
    return record


def _without_contradicting_presets(value: Any, record: type[Params]) -> Any:
    """Returns the file without presets that only contradict themselves: a run may mend that, and is refused
    where it does not. Keys and values are checked in all of them.
    """
    for path in record.presets:
        *above, key = path
        members, holder, kind = at(value, path), at(value, above), member_record(record, path)
        if isinstance(members, dict) and kind is not None:
            kept = {name: item for name, item in members.items() if not _only_contradicts(item, kind)}
            value = {**value, above[0]: {**holder, key: kept}}
    return value


def _only_contradicts(preset: Any, kind: type[BaseModel]) -> bool:
    """Returns whether a preset, laid over what it shares, is invalid only in how its settings combine."""
    try:
        kind.model_validate(preset)
    except ValidationError as error:
        return all(item["type"] == "value_error" and not item["loc"] for item in error.errors())
    return False


def _of_defaults(raw: Any, problems: Mapping[str, str], root: Path | None) -> list[str]:
    """Returns the problems of settings that a member leaves to a value elsewhere which is one itself: it is
    told once.
    """
    return [
        key
        for path, listed in defaults(root).items()
        if isinstance(members := at(raw, path), dict)
        for name, item in members.items()
        for default in listed
        if (key := ".".join((*path, str(name), *default.setting))) in problems
        and at(item, default.setting) is None
        and ".".join(resolved(default.place, item)) in problems
    ]


def load(root: Path, name: str = PARAMS) -> Params:
    """Returns the checked parameters of the whole file. Raises ParamsError with every problem at once."""
    return check(read_yaml(root / name), name, root)


def check(raw: dict[str, Any], name: str = PARAMS, root: Path | None = None) -> Params:
    """Returns the typed parameters. Raises ParamsError, which names file, key, problem and, for an unknown
    key, the nearest known one.
    """
    problems: dict[str, str] = {}
    params = None
    raw, record = filled(with_presets(raw, root), root), params_record(root)
    own = {key: value for key, value in raw.items() if key in sections(root) - set(record.model_fields)}
    data = copy.deepcopy({key: value for key, value in raw.items() if key not in own})
    # contradictions are only seen among values that are right by themselves: drop the wrong ones and look
    # again
    for _ in range(8):
        try:
            params = record.model_validate(data)
            break
        except ValidationError as error:
            fresh, remaining = False, copy.deepcopy(data)
            for item in error.errors():
                path, text = describe(item, remaining, record)
                key = ".".join(path) or "(file)"
                # a record without its wrong value may contradict itself only because the value is gone
                spurious = any(
                    known.startswith(key + ".") and not reason.startswith("unknown")
                    for known, reason in problems.items()
                )
                if key not in problems and not spurious:
                    problems[key] = text
                    fresh = True
                if item["type"] == "missing" or not remove(data, path):
                    continue
            if not fresh:
                break
    for key, text in (
        *stage_checks.unused(raw, record, root),
        *contradictions(raw, root),
        *stage_checks.problems(raw, record, root),
    ):
        problems.setdefault(key, text)
    for key in _of_defaults(raw, problems, root):
        del problems[key]
    if problems:
        raise ParamsError([f"{name}: {key}: {text}" for key, text in sorted(problems.items())])
    assert params is not None
    params._own = own
    return params
