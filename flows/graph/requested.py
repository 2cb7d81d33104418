"""Stages that are requested by name although params.yaml has no member of that name: which members must be
added for them.

Where dvc.yaml's `meta` says `named: SETTING`, `STAGE@NAME` may be asked for as it is, and the setting is
then NAME: a preset (`rl@dapo`), or a model that some stage makes (`evaluate@dpo`). A run of a preset has the
inputs of the first run there that needs no optional one; a member that names a model has the inputs that the
model was made of, in the way of another member with the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from flows.graph.contradictions import mapping, names, preset_names
from flows.graph.families import NONE, Family, at, families
from flows.graph.references import Graph
from tasks.seed_names import members_of

Addition = tuple[str, ...]  # where the member will stand: ("rl", "runs", "dapo")


def missing(raw: Any, targets: Iterable[str], root: Path | None = None) -> list[Addition]:
    """Returns the members to add, in order and without duplicates. A target that names neither a preset nor a
    model is ignored here, and refused by the plan.
    """
    additions: list[Addition] = []
    for target in targets:
        stage, _, name = target.partition("@")
        for family in _named(root):
            if family.name == stage and name and not members_of(name, names(raw, *family.over)):
                additions += _additions(raw, family, name, root)
    return list(dict.fromkeys(additions))


def askable(raw: Any, root: Path | None = None) -> list[str]:
    """Returns the stages of presets that no run has, by name: `rl@dapo`, `evaluate@dapo`."""
    return [
        f"{family.name}@{preset}"
        for runs in _named(root)
        for preset in preset_names(raw, runs.named_presets)
        if preset not in names(raw, *runs.over)
        for family in _named(root)
        if _additions(raw, family, preset, root)
    ]


def add(document: Any, additions: Iterable[Addition], root: Path | None = None) -> None:
    """Add the members to a document of `params_file.load_with_comments`, at the end of their sections.
    Invalid sections are left to the check, and optional references to `fill`.
    """
    for *section, name in additions:
        family = next(family for family in _named(root) if family.over == tuple(section))
        holder = at(document, section[:-1])
        if not isinstance(holder, dict):
            continue
        members = holder.setdefault(section[-1], {})
        if not isinstance(members, dict):
            continue
        if family.named_presets:
            inputs = _of_first_run(document, family)
            values = {family.named: name, **inputs} if inputs else {}
        else:
            values = _of_model(document, family, name, root)
        if values:
            members[name] = _in_one_line(values)


def _named(root: Path | None) -> list[Family]:
    """Returns the families whose members may be asked for by name."""
    return [family for family in families(root) if family.named]


def _additions(raw: Any, family: Family, name: str, root: Path | None) -> list[Addition]:
    """Returns the members that `FAMILY@NAME` needs and that are not there; none where NAME cannot be asked
    for.
    """
    addition: list[Addition] = [] if name in names(raw, *family.over) else [(*family.over, name)]
    if presets := family.named_presets:
        return addition if name in preset_names(raw, presets) and _of_first_run(raw, family) else []
    kinds = family.takes(family.named)
    if name in Graph(raw, root).models(*kinds):
        return addition
    makers = (runs for runs in _named(root) if runs.named_presets and runs.meta.get("model") in kinds)
    return next(
        ([*needed, *addition] for runs in makers if (needed := _additions(raw, runs, name, root))), []
    )


def _inputs(family: Family) -> list[str]:
    """Returns the references that a member must have besides the setting that it is requested by."""
    return [setting for setting in family.references if setting not in (*family.optional, family.named)]


def _of_first_run(raw: Any, family: Family) -> dict[str, Any]:
    """Returns the inputs of the first run without an optional reference (one that a rule rewards); empty
    where there is none.
    """
    inputs = _inputs(family)
    for run in mapping(raw, *family.over).values():
        if not (isinstance(run, dict) and inputs and run.keys() >= set(inputs)):
            continue
        if all(run.get(setting) in (None, NONE) for setting in family.optional):
            return {setting: run[setting] for setting in inputs}
    return {}


def _of_model(raw: Any, family: Family, model: str, root: Path | None) -> dict[str, Any]:
    """Returns a member that is about a model: the inputs that the model was made of, and the other settings
    of the first member with the same inputs. An input that the model does not determine is that of the first
    member.
    """
    members = [member for member in mapping(raw, *family.over).values() if isinstance(member, dict)]
    graph, inputs = Graph(raw, root), {}
    for setting in _inputs(family):
        values = (member[setting] for member in members if setting in member)
        inputs[setting] = _origin(graph, family, setting, model) or next(values, "")
    similar = (member for member in members if inputs.items() <= member.items())
    return {**next(similar, {}), **inputs, family.named: model}


def _origin(graph: Graph, family: Family, setting: str, model: str) -> Any:
    """Returns the value of a setting in the nearest stage that led to a model, among the values that a member
    of the family may have; None without one.
    """
    valid = graph.values(family, setting)
    for stage in _led_to(graph, model):
        value = at(graph.raw, (*stage.family.over, stage.member, setting))
        if value in valid:
            return value
    return None


def _led_to(graph: Graph, model: str) -> Iterator[Any]:
    """Yields the stage that makes a model and those that made the models before it, the nearest first."""
    waiting = [stage for name, stage in graph.models().items() if name == model]
    visited: set[str] = set()
    while waiting:
        stage = waiting.pop(0)
        if stage.name not in visited:
            visited.add(stage.name)
            yield stage
            makers = (maker for read in stage.inputs for maker in graph.makers_of(read.path))
            waiting += [maker for maker in makers if maker.model]


def _in_one_line(values: dict[str, Any]) -> Any:
    """Returns the mapping as YAML that is written on one line."""
    from ruamel.yaml.comments import CommentedMap

    line = CommentedMap(values)
    line.fa.set_flow_style()
    return line
