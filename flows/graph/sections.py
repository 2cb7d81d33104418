"""Sections of params.yaml whose members are laid over what they share: `rl.runs.a` over what
`rl.methods` says of its method, that over `rl.common`, that over the preset.

Which ones dvc.yaml says: a stage's settings name first what is shared, then its own. The stage gets all and
lays them itself (`pipelines.settings.laid_over`); here the same is done for the check of the whole file.
"""

from __future__ import annotations

from pathlib import Path as Folder
from typing import Any

from flows.graph.families import at, defaults, families, overlays, resolved
from pipelines.settings import laid_over

Path = tuple[str, ...]


def below(raw: Any, members: Path, item: Any, root: Folder | None = None) -> dict[str, Any]:
    """Returns the merged settings that a member at `members` with the own settings `item` is laid over; empty
    for none. At the bottom are the values elsewhere that dvc.yaml names as defaults (`meta.defaults`).
    """
    merged: dict[str, Any] = {}
    for setting, template in defaults(root).get(members, {}).items():
        *above, key = resolved(template, item)
        holder = at(raw, above)
        if isinstance(holder, dict) and key in holder:
            merged[setting] = holder[key]
    for layer in overlays(root).get(members, ()):
        value = at(raw, resolved(layer, item))
        merged = laid_over(merged, value) if isinstance(value, dict) else merged
    return merged


def with_members_laid(raw: Any) -> Any:
    """Returns a copy of the raw file in which every member (run, set, preset) contains what it shares."""
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
    return result


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
