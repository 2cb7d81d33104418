"""The typed records of params.yaml's sections, as stages name them in dvc.yaml's `meta.records`.

`"sft.runs.${key}": tasks.sft_params.SftRun` describes every member of `sft.runs`, and
`report: tasks.report_params.ReportParams` the whole section `report`. A section that no stage describes may
hold anything. What members are laid over (`sft.common`) follows from `meta.settings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, create_model

from flows.graph.families import DVC_YAML, PLACEHOLDER, Family, families, overlays, preset_sections
from flows.graph.params_file import ParamsError
from pipelines.settings import Settings

ANY = "*"  # in a path: any name
Path_ = tuple[str, ...]
SHARED = "what the members share; each is laid over it"
PRESETS = "settings by preset: of the members whose `{}` names it"


def section_fields(root: Path | None = None) -> dict[str, Any]:
    """Returns the fields of the record of the whole file, by section: (type, default) as pydantic's
    `create_model` takes them.

    Raises ParamsError where a name in `meta.records` is no typed record.
    """
    described, tree = records(root), dict[str, Any]()
    names = {path[0] for path in described}
    for layer in (steps(layer) for layers in overlays(root).values() for layer in layers):
        if ANY not in layer and layer[0] in names:
            _put(tree, layer, None)
    for path, record in described.items():
        _put(tree, path, record)
    presets = preset_sections(root)
    return {name: _field((name,), node, presets) for name, node in tree.items()}


def records(root: Path | None = None) -> dict[Path_, type[BaseModel]]:
    """Returns what stages declare: `("sft", "runs", "*")` -> SftRun."""
    return {
        steps(section): _imported(str(name), family)
        for family in families(root)
        for section, name in _declared(family).items()
    }


def steps(section: str) -> Path_:
    """Returns `rl.methods.${item.method}` as ("rl", "methods", "*")."""
    return tuple(PLACEHOLDER.sub(ANY, section).split("."))


def _declared(family: Family) -> Mapping[str, Any]:
    declared = family.meta.get("records", {})
    if not isinstance(declared, Mapping):
        raise ParamsError(
            [f"{DVC_YAML}: {family.name}: meta.records: a mapping of sections to records is expected"]
        )
    return declared


def _imported(name: str, family: Family) -> type[BaseModel]:
    record = _by_name(name)
    if record is None:
        raise ParamsError(
            [
                f"{DVC_YAML}: {family.name}: meta.records: {name!r} is no typed record; "
                "MODULE.CLASS is expected, the class derived from pipelines.settings.Settings"
            ]
        )
    return record


@lru_cache(maxsize=256)
def _by_name(name: str) -> type[BaseModel] | None:
    module, _, attribute = name.rpartition(".")
    try:
        record = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        return None
    return record if isinstance(record, type) and issubclass(record, Settings) else None


def _put(tree: dict[str, Any], path: Path_, leaf: Any) -> None:
    """Put a leaf into the tree; a record of a whole section stays, and takes the place of what is in it."""
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            return
    tree[path[-1]] = leaf


def _field(path: Path_, node: Any, presets: Mapping[Path_, list[str]]) -> tuple[Any, Any]:
    """Returns (type, default) of the section at a path."""
    if node is None:
        return dict[str, Any], Field({}, description=SHARED)
    if not isinstance(node, dict):
        return node, ...
    if ANY in node:
        kind = dict[str, node[ANY]]  # type: ignore[valid-type]
        return kind, Field(
            {}, description=PRESETS.format("`, `".join(presets[path]))
        ) if path in presets else ...
    below: dict[str, Any] = {name: _field((*path, name), inner, presets) for name, inner in node.items()}
    name = "".join(part.title().replace("_", "") for part in path)
    return create_model(name, __base__=Settings, __module__=__name__, **below), ...
