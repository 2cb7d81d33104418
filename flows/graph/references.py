"""The stages that dvc.yaml's templates declare: what each makes, and which settings refer to outputs of other
stages.

What cannot be resolved here (DVC's own `vars` of other files) is left for DVC to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.graph.families import NONE, PLACEHOLDER, Family, at, families
from tasks.checks import nearest

Problem = tuple[str, str]  # key of params.yaml, what is wrong with it
_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Input:
    """An input of a stage that settings determine: its path, and the last setting in it with its value."""

    path: str
    setting: str  # `start`, `reward.model`, `key`; empty where nothing is named
    key: str  # where the setting stands in params.yaml
    value: Any
    pattern: re.Pattern[str]  # paths that other values of the setting would give


@dataclass(frozen=True)
class StageOf:
    """One stage: its name, the key of params.yaml that declares it, its inputs and outputs, and its missing
    settings.
    """

    name: str
    family: Family
    member: str
    key: str
    inputs: tuple[Input, ...]
    outs: tuple[str, ...]
    absent: tuple[str, ...]
    kind: str | None  # of the model or the data that it makes; None for what is of any

    @property
    def model(self) -> str | None:
        """The name of the model folder that the stage makes; None where it makes no model."""
        if self.kind is None or "model" not in self.family.meta:
            return None
        return next((out.split("/")[1] for out in self.outs if out.startswith("models/")), None)


def stages(raw: Any, root: Path | None = None) -> list[StageOf]:
    """Returns the stages that dvc.yaml declares for params.yaml's values, family by family. It never raises;
    invalid members are left out.
    """
    return [stage for family in families(root) for stage in _stages(raw, family)]


def _stages(raw: Any, family: Family) -> Iterator[StageOf]:
    if not family.over:
        yield _stage(raw, family, "", "", {})
        return
    section, dotted = at(raw, family.over), ".".join(family.over)
    if isinstance(section, dict):
        for name, item in section.items():
            yield _stage(raw, family, str(name), f"{dotted}.{name}", {"key": str(name), "item": item})
    elif isinstance(section, list):
        for name in section:
            item = {family.variable: str(name)} if family.variable else str(name)
            yield _stage(raw, family, str(name), dotted, {"item": item})


def _stage(raw: Any, family: Family, member: str, key: str, values: dict[str, Any]) -> StageOf:
    absent: list[str] = []
    inputs = []
    for template in family.deps:
        read = _reference(raw, template, key, values)
        if read.value is None and read.setting:
            absent.append(read.key)
        else:
            inputs.append(read)
    outs = tuple(_reference(raw, template, key, values).path for template in family.outs)
    name = f"{family.name}@{member}" if family.over else family.name
    kind = _kind(family.meta.get("model", family.meta.get("data")), values.get("item"))
    return StageOf(name, family, member, key, tuple(inputs), outs, tuple(dict.fromkeys(absent)), kind)


def _kind(declared: Any, item: Any) -> str | None:
    """Returns the kind that `meta` gives a member: a name, or the first of several whose settings it has."""
    if not isinstance(declared, dict):
        return None if declared is None else str(declared)
    return next(
        (
            str(kind)
            for kind, settings in declared.items()
            if all(at(item, key.split(".")) == value for key, value in (settings or {}).items())
        ),
        None,
    )


def _reference(raw: Any, template: str, key: str, values: dict[str, Any]) -> Input:
    listed = "key" not in values  # members are names in a list, and have no settings of their own
    path, pattern, end = "", "", 0
    setting, where, last_value = "", key, None
    for match in PLACEHOLDER.finditer(template):
        name = match[1]
        value = at({**(raw if isinstance(raw, dict) else {}), **values}, tuple(name.split(".")))
        before = template[end : match.start()]
        if name in ("key", "item") or (listed and name.startswith("item.")):
            location, setting_name = key, "key"
        elif name.startswith("item."):
            setting_name = name.removeprefix("item.")
            location = f"{key}.{setting_name}"
        else:
            location, setting_name = name, name
        whole = match.start() == 0 and match.end() == len(template)
        path += before + ("" if value is None else str(value))
        pattern += re.escape(before) + (r"(.+)" if whole else r"([^/]+)")
        end, setting, where, last_value = match.end(), setting_name, location, value
        if value is None:
            break
    return Input(
        path + template[end:], setting, where, last_value, re.compile(pattern + re.escape(template[end:]))
    )


class Graph:
    """The stages of params.yaml's values, and the makers of their outputs."""

    def __init__(self, raw: Any, root: Path | None = None):
        self.raw = raw
        self.stages = stages(raw, root)
        self.makers: dict[str, StageOf] = {}
        self._doubles: list[tuple[StageOf, str, StageOf]] = []
        for stage in self.stages:
            for out in stage.outs:
                first = self.makers.setdefault(out, stage)
                if first is not stage:
                    self._doubles.append((stage, out, first))
        self._absent = [
            family for family in families(root) if family.from_params and at(raw, family.over) is None
        ]
        self._folders = {out.partition("/")[0] for out in self.makers if "/" in out}

    def makers_of(self, path: str) -> list[StageOf]:
        """Returns the stages with an output that equals the path, contains it or lies in it."""
        if path in self.makers:
            return [self.makers[path]]
        inside = [
            stage
            for out, stage in self.makers.items()
            if out.startswith(f"{path}/") or path.startswith(f"{out}/")
        ]
        return list({stage.name: stage for stage in inside}.values())

    def unmade(self) -> Iterator[Input]:
        """Yields the inputs that settings name and no stage makes."""
        for stage in self.stages:
            for read in stage.inputs:
                if read.setting and read.value != NONE and not self.makers_of(read.path):
                    yield read

    def models(self, *kinds: str) -> dict[str, StageOf]:
        """Returns {model folder: the stage that makes it}, of these kinds (all without)."""
        makers = {stage.model: stage for stage in self.stages if stage.model}
        return {str(name): stage for name, stage in makers.items() if not kinds or stage.kind in kinds}

    def problems(self) -> Iterator[Problem]:
        """Yields every contradiction between stages: names, folders that two of them write, inputs that none
        makes, cycles.
        """
        for family in self._absent:
            yield (
                ".".join(family.over),
                f"missing; dvc.yaml makes the stages {family.name}@… of it: {{}} for none of them",
            )
        for stage in self.stages:
            if stage.member and not _NAME.fullmatch(stage.member):
                yield stage.key, "names are letters, digits, _ and - (they become stage and folder names)"
            for key in stage.absent:
                yield key, f"must stand in {stage.key} itself: dvc.yaml makes the stage's inputs of it"
            for read in stage.inputs:
                yield from self._unmade(stage, read)
        reported = set()
        for stage, out, first in self._doubles:
            if stage.name not in reported:
                reported.add(stage.name)
                yield (
                    stage.key or stage.name,
                    f"the name {stage.member or stage.name} is taken: {out} is written by the stage "
                    f"{first.name}",
                )
        yield from self._inside()
        yield from self._cycles()

    def _inside(self) -> Iterator[Problem]:
        """Yields a problem for outputs in a folder that belongs to another family: a corpus called
        `preferences`.
        """
        owned = {
            prefix: stage.family.name
            for stage in self.stages
            for template in stage.family.outs
            if "/" in (prefix := _folder(template)).rstrip("/")
        }
        for stage in self.stages:
            for template, out in zip(stage.family.outs, stage.outs, strict=True):
                folder = _folder(template)
                other = next(
                    (prefix for prefix in owned if len(prefix) > len(folder) and out.startswith(prefix)), None
                )
                if other and stage.member:
                    yield (
                        stage.key,
                        f"the name {stage.member} is taken: {other.rstrip('/')} is the folder of the stages "
                        f"{owned[other]}",
                    )
                    break

    def _unmade(self, stage: StageOf, read: Input) -> Iterator[Problem]:
        if not read.setting:
            return
        kinds = stage.family.takes(read.setting)
        if read.value == NONE and NONE in kinds:
            return
        makers = self.makers_of(read.path)
        if any(maker.name == stage.name for maker in makers):
            yield read.key, f"{stage.name} needs itself to be made"
        elif any(_is_kind(maker, kinds) for maker in makers):
            return
        elif not makers and read.path.partition("/")[0] not in self._folders:
            return  # a file of the user's; the plan says where it is missing
        else:
            known = self._known(stage, read, kinds)
            verb = "holds" if any(maker.family.meta.get("data") for maker in makers) else "is"
            fault = "is made by no stage" if not makers else f"{verb} no {' or '.join(kinds)}"
            yield read.key, f"{read.value!r} {fault}; {nearest(read.value, known)}"

    def values(self, family: Family, setting: str) -> list[str]:
        """Returns the values that a setting of a family's members could have, by what is made and of which
        kind.
        """
        return [
            matched[matched.re.groups]
            for template in family.deps
            if (read := _reference(self.raw, template, "", {"key": "", "item": {}})).setting == setting
            for out, maker in self.makers.items()
            if (matched := read.pattern.fullmatch(out)) and _is_kind(maker, family.takes(setting))
        ]

    def _known(self, stage: StageOf, read: Input, kinds: list[str]) -> list[str]:
        """Returns the values that the setting could have."""
        values = []
        for out, maker in self.makers.items():
            matched = read.pattern.fullmatch(out)
            if matched and maker.name != stage.name and _is_kind(maker, kinds):
                values.append(matched[matched.re.groups])
        return list(dict.fromkeys(values))

    def needs(self) -> dict[str, list[str]]:
        """Returns {stage: names of the stages whose outputs it reads}."""
        return {
            stage.name: list(
                dict.fromkeys(
                    maker.name
                    for read in stage.inputs
                    for maker in self.makers_of(read.path)
                    if maker is not stage
                )
            )
            for stage in self.stages
        }

    def _cycles(self) -> Iterator[Problem]:
        """Yields a problem for each cycle of stages; a cycle without a setting in it is left to DVC."""
        needs, reported, keys = (
            self.needs(),
            set[str](),
            {stage.name: stage.key for stage in self.stages if stage.key},
        )
        for name in keys:
            circle = _circle(needs, name)
            if circle and not reported & set(circle):
                reported |= set(circle)
                others = [other for other in circle if other != name]
                yield (
                    keys[name],
                    f"{name} needs itself to be made, through {', '.join(others) or 'its own settings'}",
                )


def _folder(template: str) -> str:
    """Returns the folder before the first part of a path that a setting determines, with its slash."""
    return template.partition("${")[0].rpartition("/")[0] + "/"


def _is_kind(maker: StageOf, accepted: list[str]) -> bool:
    """Returns whether a stage's output is of these kinds; an output without a kind is of any."""
    kinds = [kind for kind in accepted if kind != NONE]
    return not kinds or maker.kind in (None, *kinds)


def _circle(needs: Mapping[str, list[str]], name: str) -> list[str]:
    """Returns the stages on a path from a stage back to itself, in order; empty where there is none."""
    paths: list[list[str]] = [[name]]
    visited: set[str] = set()
    while paths:
        path = paths.pop(0)
        for other in needs.get(path[-1], ()):
            if other == name:
                return path
            if other not in visited:
                visited.add(other)
                paths.append([*path, other])
    return []
