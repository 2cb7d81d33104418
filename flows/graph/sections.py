"""Sections of params.yaml whose members are laid over what they share: `rl.runs.a` over what
`rl.methods` says of its method, that over `rl.common`, that over the preset.

Which ones dvc.yaml says: a stage's settings name first what is shared, then its own. The stage gets all and
lays them itself (`pipelines.settings.laid_over`); here the same is done for the check of the whole file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path as Folder
from typing import Any

from pydantic import BaseModel

from flows.graph.families import Default, at, defaults, overlays, preset_sections, resolved
from flows.graph.section_records import ANY, records
from pipelines.settings import laid_over

Path = tuple[str, ...]
Mark = Callable[[Any, str], Any]  # (the default of a record, its key in the file) -> what stands for it
ABSENT: Any = object()


def _unmarked(value: Any, _: str) -> Any:
    return value


def below(
    raw: Any, members: Path, item: Any, root: Folder | None = None, mark: Mark = _unmarked
) -> dict[str, Any]:
    """Returns the merged settings that a member at `members` with the own settings `item` is laid over; empty
    for none. At the bottom are the values elsewhere that dvc.yaml names as defaults (`meta.defaults`); of
    those that the file does not say, the defaults of their own records, each as `mark` returns it.
    """
    merged: dict[str, Any] = {}
    for layer in overlays(root).get(members, ()):
        value = at(raw, resolved(layer, item))
        merged = laid_over(merged, value) if isinstance(value, dict) else merged
    own = (default for default in defaults(root).get(members, ()) if not _is_shared(default, members))
    return laid_over(_elsewhere(raw, own, item, laid_over(merged, item), mark), merged)


def _is_shared(default: Default, members: Path) -> bool:
    """Returns whether a default is of a setting that stands beside the members, for all of them."""
    return default.setting[0] == members[0]


def _elsewhere(raw: Any, defaults: Iterable[Default], item: Any, whole: Any, mark: Mark) -> dict[str, Any]:
    """Returns the defaults of a member that stand elsewhere; `whole` is the member over what it shares, of
    which a default's conditions are read. They are returned too, so that a default of a choice's option
    names the choice.
    """
    values: dict[str, Any] = {}
    for default in defaults:
        found = _value(raw, default, item, mark)
        if found is not ABSENT and all(_says(whole, *condition) for condition in default.where.items()):
            for setting, value in default.where.items():
                values = laid_over(values, _nested(setting.split("."), value))
            values = laid_over(values, _nested(default.setting, found))
    return values


def _value(raw: Any, default: Default, item: Any, mark: Mark) -> Any:
    """Returns a default's value: what the file says there, or else what the record of that section has for
    default; ABSENT where there is no such member, setting or default.
    """
    *above, key = resolved(default.place, item)
    holder = at(raw, above)
    if not isinstance(holder, dict):
        return ABSENT
    if key in holder:
        return holder[key]
    record = records().get((*above[:-1], ANY))
    field = record.model_fields.get(key) if record else None
    if field is None or field.is_required():
        return ABSENT
    value = field.get_default(call_default_factory=True)
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return mark(plain, ".".join((*above, key)))


def _says(whole: Any, setting: str, value: Any) -> bool:
    said = at(whole, setting.split("."))
    return said is None if value is None else said is not None and str(said) == str(value)


def _nested(path: Iterable[str], value: Any) -> Any:
    first, *others = path
    return {first: _nested(others, value) if others else value}


def with_members_laid(raw: Any, mark: Mark = _unmarked) -> Any:
    """Returns a copy of the raw file in which every member (run, set, preset) contains what it shares, and
    what members share has its defaults; `mark`: as in `below`.
    """
    if not isinstance(raw, dict):
        return raw
    result, presets = dict(raw), preset_sections()
    for path in dict.fromkeys([*overlays(), *defaults()]):
        if not isinstance(members := at(raw, path), dict):
            continue
        *section, key = path
        holder = {**at(result, section)}
        holder[key] = {
            name: _laid(raw, path, value, {setting: str(name) for setting in presets.get(path, ())}, mark)
            for name, value in members.items()
        }
        result = {**result, section[0]: holder} if section else holder
        result = _with_shared_defaults(raw, result, path, members, mark)
    return result


def _with_shared_defaults(
    raw: Any, result: dict[str, Any], path: Path, members: Any, mark: Mark
) -> dict[str, Any]:
    """Returns the file with the defaults of what the members at `path` share: of what they say the largest,
    since none may be cut short.
    """
    for default in defaults().get(path, ()):
        if _is_shared(default, path):
            items = (item for item in members.values() if isinstance(item, dict))
            values = [value for item in items if (value := _value(raw, default, item, mark)) is not ABSENT]
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


def _laid(raw: Any, path: Path, value: Any, itself: dict[str, str], mark: Mark) -> Any:
    """Returns a member over what it is laid over; a preset lies over the one of its own name (`itself`)."""
    if not isinstance(value, dict):
        return value
    return laid_over(below(raw, path, {**itself, **value}, mark=mark), value)
