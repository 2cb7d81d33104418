"""The stages that dvc.yaml declares, as its templates say them: what each makes and needs.

`models/${item.start}/model` among a stage's `deps` makes the setting `start` a reference to whatever stage
has `models/…/model` among its `outs` (`references.py`); nothing else says so. What a path alone cannot say
stands in the stage's `meta`, which DVC keeps and never looks at:

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
  have for default, at any depth (`sampling.max_new_tokens`); `{source.reward: {of: "corpus.…", where:
  {source.kind: sampled}}}` where the member says that; a setting that all members share (`assess.settings.…`)
  has the largest of theirs (`sections.py`);
- `settings: [sft.common, "sft.runs.${key}"]`: sections of params.yaml that count by their values as resolved,
  those first that others are laid over (flows/graph/codelock.py);
- `records: {"sft.runs.${key}": tasks.sft_params.SftRun}`: the typed records of sections, by which the file is
  checked and its reference is written (`section_records.py`).

A stage of the user's own needs no `meta`. What cannot be resolved here (DVC's own `vars` of other files) is
left for DVC to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.settings import ROOT

DVC_YAML = "dvc.yaml"
NONE = "none"  # names a constant folder that stands for an input that a member does not have
CONSTANTS = (f"models/{NONE}/", f"data/{NONE}/")  # those folders; nothing is read from them
PLACEHOLDER = re.compile(r"\$\{\s*([^}]+?)\s*\}")
_MEMBER = re.compile(r"\.\$\{\s*(key|item(\.\w+)?)\s*\}$")  # at the end of a section that is a member's own
_PRESET = re.compile(r"([\w.]+)\.\$\{\s*item\.(\w+)\s*\}")  # a section whose member a setting names
_SHOWN = ("metrics/", "curves/")  # folders of what the report shows


@dataclass(frozen=True)
class Default:
    """A setting whose default is the value at `place` in params.yaml, a template: of `reward` it is
    `corpus.${item.data}.reward`. It counts for members that say all of `where` (setting -> value).
    """

    setting: tuple[str, ...]
    place: str
    where: Mapping[str, Any]


def _default(setting: str, said: Any) -> Default:
    of = said if isinstance(said, dict) else {"of": said}
    where = of.get("where")
    return Default(tuple(setting.split(".")), str(of.get("of")), where if isinstance(where, dict) else {})


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
        names = [match[1] for dep in self.deps for match in PLACEHOLDER.finditer(dep)]
        settings = (name.removeprefix("item.") for name in names if name.startswith("item."))
        return tuple(dict.fromkeys(settings))

    def takes(self, setting: str) -> list[str]:
        """Returns the kinds of model that a reference accepts; empty: any."""
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
    def defaults(self) -> tuple[Default, ...]:
        """The settings that have a value elsewhere in params.yaml for default."""
        said = self.meta.get("defaults")
        return (
            tuple(_default(str(key), value) for key, value in said.items()) if isinstance(said, dict) else ()
        )

    @property
    def optional(self) -> tuple[str, ...]:
        """The references that a member may leave out."""
        return tuple(setting for setting in self.references if NONE in self.takes(setting))


def divisible(meta: Mapping[str, Any] | None) -> bool:
    """Returns whether a stage's `meta` says that it may run in several processes."""
    return (meta or {}).get("processes") == "many"


def reported(root: Path | None = None) -> dict[str, dict[str, str]]:
    """Returns what the report is told of the stages that a part of it shows, that write a curve, or that make
    a policy: name -> {part, metrics, curve, members, model} (tasks/report_page/stages.py).
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
    """Returns whether the `meta` of a stage says `lists: stages`."""
    declared = (family for family in families(root) if family.name == name.partition("@")[0])
    return any(family.meta.get("lists") == "stages" for family in declared)


def families(root: Path | None = None) -> tuple[Family, ...]:
    """Returns every family of dvc.yaml, in its order; none where the file is missing or no mapping (DVC says
    what is wrong).
    """
    return _families(*stamp(root))


def stamp(root: Path | None = None) -> tuple[Path, int, int]:
    """Returns what changes with dvc.yaml's content: its path, time and size; zeros where it is missing."""
    path = (root or ROOT) / DVC_YAML
    try:
        stat = path.stat()
    except OSError:
        return path, 0, 0
    return path, stat.st_mtime_ns, stat.st_size


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
    found = PLACEHOLDER.fullmatch(str(text))
    return tuple(found[1].split(".")) if found else ()


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _sections_of(entry: Any) -> list[str]:
    """Returns the sections of params.yaml that an entry of `params` names."""
    if isinstance(entry, dict):
        return [str(section) for section in _items(entry.get("params.yaml"))]
    return [str(entry)]


def overlays(root: Path | None = None) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Returns where members stand -> the sections that each is laid over, the lowest first, as dvc.yaml names
    them before the member's own.

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


def preset_sections(root: Path | None = None) -> dict[tuple[str, ...], list[str]]:
    """Returns where presets stand -> the settings by which members name one: `("rl", "methods")` ->
    `["method"]`.
    """
    named: dict[tuple[str, ...], list[str]] = {}
    for family in families(root):
        for setting, paths in family.presets.items():
            for path in paths:
                named.setdefault(path, []).append(setting)
    return named


def defaults(root: Path | None = None) -> dict[tuple[str, ...], tuple[Default, ...]]:
    """Returns where members stand -> the defaults of their settings that stand elsewhere; those of settings
    that members share begin with the section's name (`assess.settings.sampling.max_new_tokens`).
    """
    return {family.over: family.defaults for family in families(root) if family.over and family.defaults}


def resolved(template: str, item: Any) -> tuple[str, ...]:
    """Returns the path that a section of `overlays` means for a member; a placeholder that the member does
    not fill is left out with its value.
    """
    text = PLACEHOLDER.sub(lambda found: str(at({"item": item}, found[1].split(".")) or ""), template)
    return tuple(text.split("."))


def sections(root: Path | None = None) -> set[str]:
    """Returns the sections of params.yaml that dvc.yaml's stages depend on or run through."""
    found = [section for family in families(root) for section in (*family.sections, *family.over[:1])]
    return {section.partition(".")[0] for section in found}


def at(raw: Any, path: Iterable[str]) -> Any:
    """Returns the value at a path of nested mappings; None where there is none."""
    for part in path:
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw
