"""The stages that dvc.yaml declares, as its templates say them: what each makes, which settings refer to what
another stage makes.

`models/${item.start}/model` among a stage's `deps` makes the setting `start` a reference to whatever stage
has `models/…/model` among its `outs`; nothing else says so. What a path alone cannot say stands in the
stage's `meta`, which DVC keeps and never looks at:

- `model: policy`: the stage makes a model of this kind (`lineage.json` beside it, a name in the registry);
  `model: {cost_model: {kind: cost}, reward_model: {}}`: of the first kind whose settings are the member's;
- `data: pairs`: the stage makes a set of this kind, and no other; one without is of any kind;
- `takes: {start: [policy]}`: the kinds that a reference accepts, by its setting (`key` for the member's own
  name); any kind without; `none` among them: the setting may name the constant folder of an input that a
  member does not have, and a member that leaves it out does (`fill.py`);
- `named: method`: `rl@NAME` may be asked for without a run NAME; its method is then NAME (`requested.py`);
- `processes: many`: the stage may run in several processes;
- `report: matches`: the part of the report that shows its metrics; `lists: stages`: the stage that makes the
  report, which is told of all these;
- `defaults: {reward: "corpus.${item.data}.reward"}`: values elsewhere in params.yaml that a member's settings
  have for default;
- `settings: [sft.common, "sft.runs.${key}"]`: sections of params.yaml that count by their values as resolved,
  those first that others are laid over (flows/graph/codelock.py).

A stage of the user's own needs no `meta`. What cannot be resolved here (DVC's own `vars` of other files) is
left for DVC to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.settings import ROOT
from tasks.checks import nearest

DVC_YAML = "dvc.yaml"
NONE = "none"  # names a constant folder that stands for an input that a member does not have
CONSTANTS = (f"models/{NONE}/", f"data/{NONE}/")  # those folders; nothing is read from them
Problem = tuple[str, str]  # key of params.yaml, what is wrong with it
_PLACEHOLDER = re.compile(r"\$\{\s*([^}]+?)\s*\}")
_MEMBER = re.compile(r"\.\$\{\s*(key|item(\.\w+)?)\s*\}$")  # at the end of a section that is a member's own
_PRESET = re.compile(r"([\w.]+)\.\$\{\s*item\.(\w+)\s*\}")  # a section whose member a setting names
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN = ("metrics/", "curves/")  # folders of what the report shows


@dataclass(frozen=True)
class Family:
    """A stage of dvc.yaml, or all the stages of a `foreach` or `matrix`.

    `over` is the section of params.yaml whose members it runs through (empty: one stage); `variable` a
    matrix's name for a member.
    """

    name: str
    over: tuple[str, ...]
    variable: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    sections: tuple[str, ...]  # of params.yaml, as templates, in order
    meta: Mapping[str, Any]

    @property
    def from_params(self) -> bool:
        """Whether what it runs through stands in params.yaml, and not in another file of dvc.yaml's
        `vars`.
        """
        return bool(self.over) and any(section.partition(".")[0] == self.over[0] for section in self.sections)

    @property
    def references(self) -> tuple[str, ...]:
        """The settings of a member that its inputs are made of: `start`, `data`."""
        names = [match[1] for dep in self.deps for match in _PLACEHOLDER.finditer(dep)]
        settings = (name.removeprefix("item.") for name in names if name.startswith("item."))
        return tuple(dict.fromkeys(settings))

    def takes(self, setting: str) -> list[str]:
        """The kinds of model that a reference accepts; empty: any."""
        listed = self.meta.get("takes")
        return [str(kind) for kind in _items(listed.get(setting))] if isinstance(listed, dict) else []

    @property
    def presets(self) -> dict[str, list[tuple[str, ...]]]:
        """A setting of a member that names a preset -> the sections of the presets: of
        `rl.methods.${item.method}` {"method": [("rl", "methods")]}.
        """
        sections: dict[str, list[tuple[str, ...]]] = {}
        for match in filter(None, map(_PRESET.fullmatch, self.sections)):
            sections.setdefault(match[2], []).append(tuple(match[1].split(".")))
        return sections

    @property
    def named(self) -> str:
        """The setting that a member asked for by name has its name in; empty where none may be asked for."""
        return str(self.meta.get("named", ""))

    @property
    def named_presets(self) -> list[tuple[str, ...]]:
        """The sections of the presets that members may be asked for by; empty where a name is no preset."""
        return self.presets.get(self.named, [])

    @property
    def defaults(self) -> dict[str, str]:
        """A setting of a member -> the value elsewhere in params.yaml that is its default, as a template:
        `{"reward": "corpus.${item.data}.reward"}`.
        """
        said = self.meta.get("defaults")
        return {str(key): str(place) for key, place in said.items()} if isinstance(said, dict) else {}

    @property
    def optional(self) -> tuple[str, ...]:
        """The references that a member may leave out."""
        return tuple(setting for setting in self.references if NONE in self.takes(setting))


@dataclass(frozen=True)
class Input:
    """An input of a stage that settings name: the path it stands for, and the last setting in it with its
    value.
    """

    path: str
    setting: str  # `start`, `reward.model`, `key`; empty where nothing is named
    key: str  # where the setting stands in params.yaml
    value: Any
    pattern: re.Pattern[str]  # paths that other values of the setting would give


@dataclass(frozen=True)
class StageOf:
    """One stage: its name, the key of params.yaml that asks for it, its inputs and outputs, and settings that
    are not there.
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
        """The name of the model folder that it makes; None for none."""
        if self.kind is None or "model" not in self.family.meta:
            return None
        return next((out.split("/")[1] for out in self.outs if out.startswith("models/")), None)


def divisible(meta: Mapping[str, Any] | None) -> bool:
    """Whether a stage's `meta` says that it may run in several processes."""
    return (meta or {}).get("processes") == "many"


def reported(root: Path | None = None) -> dict[str, dict[str, str]]:
    """What the report is told of the stages that a part of it shows, that write a curve, or that make a
    policy: name -> {part, metrics, curve, members, model} (tasks/report_page/stages.py).
    """
    stages = {}
    for family in families(root):
        metrics, curve = (
            next((out for out in family.outs if out.startswith(folder)), "") for folder in _SHOWN
        )
        part, model = family.meta.get("report", ""), family.meta.get("model")
        if part or curve or model == "policy":
            stages[family.name] = {
                "part": str(part),
                "metrics": metrics,
                "curve": curve,
                "members": ".".join(family.over),
                "model": model if isinstance(model, str) else "",
            }
    return stages


def lists_stages(name: str, root: Path | None = None) -> bool:
    """Whether the `meta` of a stage says `lists: stages`."""
    declared = (family for family in families(root) if family.name == name.partition("@")[0])
    return any(family.meta.get("lists") == "stages" for family in declared)


def families(root: Path | None = None) -> tuple[Family, ...]:
    """Every family of dvc.yaml, in its order; none where the file is missing or no mapping (DVC says what is
    wrong).
    """
    path = (root or ROOT) / DVC_YAML
    try:
        stat = path.stat()
    except OSError:
        return ()
    return _families(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=32)
def _families(path: Path, *_: int) -> tuple[Family, ...]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        declared = YAML(typ="safe").load(path.read_text("utf-8"))
        items = list(declared["stages"].items())
    except (OSError, ValueError, YAMLError, KeyError, TypeError, AttributeError):
        return ()
    return tuple(
        family for name, item in items if isinstance(item, dict) and (family := _family(str(name), item))
    )


def _family(name: str, item: dict[str, Any]) -> Family | None:
    """None for what this module cannot run through: a literal list, a matrix of two variables."""
    body: Any = item
    over: tuple[str, ...] = ()
    variable = ""
    if "foreach" in item:
        body, over = item.get("do"), _section(item["foreach"])
    elif "matrix" in item:
        matrix = item["matrix"]
        if not isinstance(matrix, dict) or len(matrix) != 1:
            return None
        ((variable, values),) = matrix.items()
        over = _section(values)
    if not isinstance(body, dict) or ((body is not item or variable) and not over):
        return None
    meta = body.get("meta")
    listed = _items(meta.get("settings")) if isinstance(meta, dict) else []
    params = [str(section) for section in listed]
    params += [section for entry in _items(body.get("params")) for section in _sections_of(entry)]
    paths = {
        key: tuple(
            str(next(iter(one))) if isinstance(one, dict) else str(one) for one in _items(body.get(key))
        )
        for key in ("deps", "outs")
    }
    return Family(
        name,
        over,
        variable,
        paths["deps"],
        paths["outs"],
        tuple(params),
        meta if isinstance(meta, dict) else {},
    )


def _section(text: Any) -> tuple[str, ...]:
    found = _PLACEHOLDER.fullmatch(str(text))
    return tuple(found[1].split(".")) if found else ()


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _sections_of(entry: Any) -> list[str]:
    """The sections of params.yaml that an entry of `params` names."""
    if isinstance(entry, dict):
        return [str(section) for section in _items(entry.get("params.yaml"))]
    return [str(entry)]


def overlays(root: Path | None = None) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Where members stand -> the sections that each is laid over, the lowest first, as dvc.yaml names them
    before the member's own.

    `("rl", "runs")` -> `("rl.presets.${item.method}", "rl.common", "rl.methods.${item.method}")`.
    """
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for family in families(root):
        below: list[str] = []
        for section in family.sections:
            own = _MEMBER.sub("", section)
            if own != section and below:
                found.setdefault(tuple(own.split(".")), tuple(below))
            if own != section or section.endswith(".common"):
                below.append(section)
    return found


def defaults(root: Path | None = None) -> dict[tuple[str, ...], dict[str, str]]:
    """Where members stand -> a setting of theirs -> the value elsewhere that is its default, as a template:
    `("rl", "runs")` -> `{"reward": "corpus.${item.data}.reward"}`.
    """
    return {family.over: family.defaults for family in families(root) if family.over and family.defaults}


def resolved(template: str, item: Any) -> tuple[str, ...]:
    """The path that a section of `overlays` means for a member; a placeholder that the member does not fill
    is left out with its value.
    """
    text = _PLACEHOLDER.sub(lambda found: str(at({"item": item}, found[1].split(".")) or ""), template)
    return tuple(text.split("."))


def sections(root: Path | None = None) -> set[str]:
    """The sections of params.yaml that dvc.yaml's stages depend on or run through."""
    found = [section for family in families(root) for section in (*family.sections, *family.over[:1])]
    return {section.partition(".")[0] for section in found}


def stages(raw: Any, root: Path | None = None) -> list[StageOf]:
    """The stages that params.yaml's values make of dvc.yaml, family by family. Never raises: what is no
    member is left out.
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
        one = _reference(raw, template, key, values)
        if one.value is None and one.setting:
            absent.append(one.key)
        else:
            inputs.append(one)
    outs = tuple(_reference(raw, template, key, values).path for template in family.outs)
    name = f"{family.name}@{member}" if family.over else family.name
    kind = _kind(family.meta.get("model", family.meta.get("data")), values.get("item"))
    return StageOf(name, family, member, key, tuple(inputs), outs, tuple(dict.fromkeys(absent)), kind)


def _kind(said: Any, item: Any) -> str | None:
    """The kind of model that `meta` gives a member: a name, or the first of several whose settings it has."""
    if not isinstance(said, dict):
        return None if said is None else str(said)
    return next(
        (
            str(kind)
            for kind, settings in said.items()
            if all(at(item, key.split(".")) == value for key, value in (settings or {}).items())
        ),
        None,
    )


def _reference(raw: Any, template: str, key: str, values: dict[str, Any]) -> Input:
    listed = "key" not in values  # members are names in a list, and have no settings of their own
    path, pattern, place = "", "", 0
    setting, where, found = "", key, None
    for match in _PLACEHOLDER.finditer(template):
        name = match[1]
        value = at({**(raw if isinstance(raw, dict) else {}), **values}, tuple(name.split(".")))
        before = template[place : match.start()]
        if name in ("key", "item") or (listed and name.startswith("item.")):
            here, own = key, "key"
        elif name.startswith("item."):
            own = name.removeprefix("item.")
            here = f"{key}.{own}"
        else:
            here, own = name, name
        whole = match.start() == 0 and match.end() == len(template)
        path += before + ("" if value is None else str(value))
        pattern += re.escape(before) + (r"(.+)" if whole else r"([^/]+)")
        place, setting, where, found = match.end(), own, here, value
        if value is None:
            break
    return Input(
        path + template[place:], setting, where, found, re.compile(pattern + re.escape(template[place:]))
    )


def at(raw: Any, path: Iterable[str]) -> Any:
    """The value at a path of nested mappings; None where there is none."""
    for part in path:
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


class Graph:
    """The stages of params.yaml's values, and who makes what."""

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
        """The stages whose outputs are the path, lie in it or hold it."""
        if path in self.makers:
            return [self.makers[path]]
        inside = [
            stage
            for out, stage in self.makers.items()
            if out.startswith(f"{path}/") or path.startswith(f"{out}/")
        ]
        return list({stage.name: stage for stage in inside}.values())

    def unmade(self) -> Iterator[Input]:
        """Inputs that settings name and no stage makes."""
        for stage in self.stages:
            for one in stage.inputs:
                if one.setting and one.value != NONE and not self.makers_of(one.path):
                    yield one

    def models(self, *kinds: str) -> dict[str, StageOf]:
        """Model folder -> the stage that makes it, of these kinds (all without)."""
        found = {stage.model: stage for stage in self.stages if stage.model}
        return {str(name): stage for name, stage in found.items() if not kinds or stage.kind in kinds}

    def problems(self) -> Iterator[Problem]:
        """Every contradiction between stages: names, folders that two of them write, inputs that none makes,
        cycles.
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
            for one in stage.inputs:
                yield from self._unmade(stage, one)
        told = set()
        for stage, out, first in self._doubles:
            if stage.name not in told:
                told.add(stage.name)
                yield (
                    stage.key or stage.name,
                    f"the name {stage.member or stage.name} is taken: {out} is written by the stage "
                    f"{first.name}",
                )
        yield from self._inside()
        yield from self._cycles()

    def _inside(self) -> Iterator[Problem]:
        """Outputs that lie in a folder which belongs to another family: a corpus called `preferences`."""
        owned = {
            prefix: stage.family.name
            for stage in self.stages
            for template in stage.family.outs
            if "/" in (prefix := _folder(template)).rstrip("/")
        }
        for stage in self.stages:
            for template, out in zip(stage.family.outs, stage.outs, strict=True):
                own = _folder(template)
                other = next(
                    (prefix for prefix in owned if len(prefix) > len(own) and out.startswith(prefix)), None
                )
                if other and stage.member:
                    yield (
                        stage.key,
                        f"the name {stage.member} is taken: {other.rstrip('/')} is the folder of the stages "
                        f"{owned[other]}",
                    )
                    break

    def _unmade(self, stage: StageOf, one: Input) -> Iterator[Problem]:
        if not one.setting:
            return
        wanted = stage.family.takes(one.setting)
        if one.value == NONE and NONE in wanted:
            return
        makers = self.makers_of(one.path)
        if any(maker.name == stage.name for maker in makers):
            yield one.key, f"{stage.name} needs itself to be made"
        elif any(_is_kind(maker, wanted) for maker in makers):
            return
        elif not makers and one.path.partition("/")[0] not in self._folders:
            return  # a file of the user's; the plan says where it is missing
        else:
            known = self._known(stage, one, wanted)
            verb = "holds" if any(maker.family.meta.get("data") for maker in makers) else "is"
            what = "is made by no stage" if not makers else f"{verb} no {' or '.join(wanted)}"
            yield one.key, f"{one.value!r} {what}; {nearest(one.value, known)}"

    def values(self, family: Family, setting: str) -> list[str]:
        """Values that a setting of a family's members could have, by what is made and of which kind."""
        return [
            matched[matched.re.groups]
            for template in family.deps
            if (read := _reference(self.raw, template, "", {"key": "", "item": {}})).setting == setting
            for out, maker in self.makers.items()
            if (matched := read.pattern.fullmatch(out)) and _is_kind(maker, family.takes(setting))
        ]

    def _known(self, stage: StageOf, one: Input, wanted: list[str]) -> list[str]:
        """Values that the setting could have."""
        found = []
        for out, maker in self.makers.items():
            matched = one.pattern.fullmatch(out)
            if matched and maker.name != stage.name and _is_kind(maker, wanted):
                found.append(matched[matched.re.groups])
        return list(dict.fromkeys(found))

    def needs(self) -> dict[str, list[str]]:
        """Stage name -> names of the stages whose outputs it reads."""
        return {
            stage.name: list(
                dict.fromkeys(
                    maker.name
                    for one in stage.inputs
                    for maker in self.makers_of(one.path)
                    if maker is not stage
                )
            )
            for stage in self.stages
        }

    def _cycles(self) -> Iterator[Problem]:
        """Stages that wait for themselves through others, each circle once; one without a setting in it is
        left to DVC.
        """
        needs, told, keys = (
            self.needs(),
            set[str](),
            {stage.name: stage.key for stage in self.stages if stage.key},
        )
        for name in keys:
            circle = _circle(needs, name)
            if circle and not told & set(circle):
                told |= set(circle)
                others = [other for other in circle if other != name]
                yield (
                    keys[name],
                    f"{name} needs itself to be made, through {', '.join(others) or 'its own settings'}",
                )


def _folder(template: str) -> str:
    """The folder before the first part of a path that a setting names, with its slash."""
    return template.partition("${")[0].rpartition("/")[0] + "/"


def _is_kind(maker: StageOf, wanted: list[str]) -> bool:
    """Whether what a stage makes is of these kinds; what says no kind is of any."""
    kinds = [kind for kind in wanted if kind != NONE]
    return not kinds or maker.kind in (None, *kinds)


def _circle(needs: Mapping[str, list[str]], name: str) -> list[str]:
    """A way from a stage back to itself, the stages on it in order; empty where there is none."""
    ways: list[list[str]] = [[name]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for other in needs.get(way[-1], ()):
            if other == name:
                return way
            if other not in seen:
                seen.add(other)
                ways.append([*way, other])
    return []
