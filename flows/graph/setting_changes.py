"""Settings that differ between two states of params.yaml, and how they are put into a document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ruamel.yaml.comments import CommentedMap

from flows.graph.params_file import plain
from pipelines.settings import is_options_of

ABSENT: Any = object()


@dataclass(frozen=True)
class Change:
    """One setting that differs from the recipe: the recipe's value and the user's, ABSENT for none."""

    key: tuple[str, ...]
    was: Any
    now: Any

    def __str__(self) -> str:
        return f"{'.'.join(self.key)} {_shown(self.was)} -> {_shown(self.now)}"

    def as_json(self) -> dict[str, Any]:
        values = {"was": self.was, "now": self.now}
        return {
            "key": list(self.key),
            **{name: value for name, value in values.items() if value is not ABSENT},
        }


def differences(before: Any, after: Any, path: tuple[str, ...] = ()) -> list[Change]:
    """Returns the values that were added, removed or changed; a section that was added or removed is one
    change.
    """
    if before == after and type(before) is type(after):
        return []
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [Change(path, before, after)]
    keys = [*before, *(key for key in after if key not in before)]
    return [
        change
        for key in keys
        for change in differences(before.get(key, ABSENT), after.get(key, ABSENT), (*path, str(key)))
    ]


def put(document: Any, change: Change) -> None:
    for part in change.key[:-1]:
        if not isinstance(document.get(part), dict):
            if change.now is ABSENT:
                return
            document[part] = {}
        document = document[part]
    if change.now is ABSENT:
        document.pop(change.key[-1], None)
    else:
        document[change.key[-1]] = change.now


def overlay(target: Any, above: Any) -> None:
    """Merge deeply: null removes a key; lists, values and choices of another kind are replaced as a whole."""
    for key, value in above.items():
        below = target.get(key)
        if is_options_of(below, value):
            below = target[key] = CommentedMap(kind=below)
        if (
            isinstance(value, dict)
            and isinstance(below, dict)
            and value.get("kind") in (None, below.get("kind"))
        ):
            overlay(below, value)
        elif value is None:
            target.pop(key, None)
        elif key not in target or plain(below) != plain(value):
            target[key] = value


def words(change: Change) -> str:
    key = ".".join(change.key)
    if change.now is ABSENT:
        return f"{key} removed"
    return f"{key} new: {_shown(change.now)}" if change.was is ABSENT else str(change)


def _shown(value: Any) -> str:
    if value is ABSENT:
        return "(none)"
    text = f"({len(value)} settings)" if isinstance(value, dict) and value else repr(value)
    return text if len(text) <= 200 else text[:197] + "…"
