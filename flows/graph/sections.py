"""Sections of params.yaml whose members are laid over what they share: `rl.runs.a` over what
`rl.methods` says of its method, that over `rl.common`, that over the preset.

Which ones dvc.yaml says: a stage's settings name first what is shared, then its own. The stage gets all and
lays them itself (`pipelines.settings.laid_over`); here the same is done for the check of the whole file.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path as Folder
from typing import Any

from flows.graph.families import Default, at, defaults, families, overlays, resolved
from pipelines.settings import laid_over

Path = tuple[str, ...]


def below(raw: Any, members: Path, item: Any, root: Folder | None = None) -> dict[str, Any]:
    """Returns the merged settings that a member at `members` with the own settings `item` is laid over; empty
    for none. At the bottom are the values elsewhere that dvc.yaml names as defaults (`meta.defaults`).
    """
    merged: dict[str, Any] = {}
    for layer in overlays(root).get(members, ()):
        value = at(raw, resolved(layer, item))
        merged = laid_over(merged, value) if isinstance(value, dict) else merged
    own = (default for default in defaults(root).get(members, ()) if not _is_shared(default, members))
    return laid_over(_elsewhere(raw, own, item, laid_over(merged, item)), merged)


def _is_shared(default: Default, members: Path) -> bool:
    """Returns whether a default is of a setting that stands beside the members, for all of them."""
    return default.setting[0] == members[0]


def _elsewhere(raw: Any, defaults: Iterable[Default], item: Any, whole: Any) -> dict[str, Any]:
    """Returns the defaults of a member that stand elsewhere; `whole` is the member over what it shares, of
    which a default's conditions are read. They are returned too, so that a default of a choice's option
    names the choice.
    """
    values: dict[str, Any] = {}
    for default in defaults:
        holder, key = _place(raw, default, item)
        if key in holder and all(_says(whole, *condition) for condition in default.where.items()):
            for setting, value in default.where.items():
                values = laid_over(values, _nested(setting.split("."), value))
            values = laid_over(values, _nested(default.setting, holder[key]))
    return values


def _place(raw: Any, default: Default, item: Any) -> tuple[dict[str, Any], str]:
    """Returns the mapping that holds a default's value, empty where there is none, and the value's key."""
    *above, key = resolved(default.place, item)
    holder = at(raw, above)
    return holder if isinstance(holder, dict) else {}, key


def _says(whole: Any, setting: str, value: Any) -> bool:
    said = at(whole, setting.split("."))
    return said is None if value is None else said is not None and str(said) == str(value)


def _nested(path: Iterable[str], value: Any) -> Any:
    first, *others = path
    return {first: _nested(others, value) if others else value}


def with_members_laid(raw: Any) -> Any:
    """Returns a copy of the raw file in which every member (run, set, preset) contains what it shares, and
    what members share has its defaults.
    """
    if not isinstance(raw, dict):
        return raw
    result, presets = dict(raw), _preset_settings()
    for path in dict.fromkeys([*overlays(), *defaults()]):
        if not isinstance(members := at(raw, path), dict):
            continue
        *section, key = path
        holder = {**at(result, section)}
        holder[key] = {
            name: _laid(raw, path, value, {setting: str(name) for setting in presets.get(path, ())})
            for name, value in members.items()
        }
        result = {**result, section[0]: holder} if section else holder
        result = _with_shared_defaults(raw, result, path, members)
    return result


def _with_shared_defaults(raw: Any, result: dict[str, Any], path: Path, members: Any) -> dict[str, Any]:
    """Returns the file with the defaults of what the members at `path` share: of what they say the largest,
    since none may be cut short.
    """
    for default in defaults().get(path, ()):
        if _is_shared(default, path):
            places = (_place(raw, default, item) for item in members.values() if isinstance(item, dict))
            values = [holder[key] for holder, key in places if key in holder]
            if values and (largest := _largest(values)) is not None:
                section, *setting = default.setting
                result = {**result, section: laid_over(_nested(setting, largest), result[section])}
    return result


def _largest(values: list[Any]) -> Any:
    """None where they differ and are no numbers."""
    try:
        return max(values, key=lambda value: float(str(value)))
    except ValueError:
        return values[0] if len(set(map(str, values))) == 1 else None


def _laid(raw: Any, path: Path, value: Any, itself: dict[str, str]) -> Any:
    """Returns a member over what it is laid over; a preset lies over the one of its own name (`itself`)."""
    return laid_over(below(raw, path, {**itself, **value}), value) if isinstance(value, dict) else value


def _preset_settings() -> dict[Path, list[str]]:
    """Returns where presets stand -> the settings by which members name one: `("rl", "methods")` ->
    `["method"]`.
    """
    settings: dict[Path, list[str]] = {}
    for family in families():
        for setting, sections in family.presets.items():
            for section in sections:
                settings.setdefault(section, []).append(setting)
    return settings
