"""`whetstone use NAME`: lay recipes/NAME.yaml over params.yaml; `use default` goes back.

params.yaml stays the whole truth, so DVC needs to know nothing of recipes. What a recipe replaced is kept in recipes/.applied.yaml,
which belongs into version control with params.yaml; other edits of params.yaml survive going back.
"""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows.graph.params import check
from flows.graph.params_file import PARAMS, ParamsError, _round_trip, load_with_comments, read_yaml, save_with_comments, text_of, write_text

FOLDER = "recipes"
APPLIED = "recipes/.applied.yaml"
DEFAULT = "default"


def names(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / FOLDER).glob("*.yaml") if not path.name.startswith("."))


def active(root: Path) -> str:
    """The recipe that lies over params.yaml now."""
    path = root / APPLIED
    return str(read_yaml(path).get("recipe", DEFAULT)) if path.exists() else DEFAULT


def use(root: Path, name: str) -> list[str]:
    """Go back to the values before the current recipe, then apply `name`; returns `key old -> new` lines.

    The result is checked as a whole before params.yaml is touched. Raises ParamsError.
    """
    if name != DEFAULT and name not in names(root):
        close = difflib.get_close_matches(name, [*names(root), DEFAULT], n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join([DEFAULT, *names(root)])}"
        raise ParamsError([f"{FOLDER}/{name}.yaml: no such recipe, {hint}"])
    document = load_with_comments(root / PARAMS)
    before = _plain(document)
    applied = root / APPLIED
    original = (root / PARAMS).read_text("utf-8")
    if applied.exists():
        note = read_yaml(applied)
        if note.get("written") == _digest(original):  # nothing was edited since: go back to the very bytes
            original = note["original"]
            document = _round_trip().load(original)
        else:
            for change in note["replaced"]:
                _put(document, change["key"], change.get("value"), change["was"])
            original = ""
    replaced: list[dict[str, Any]] = []
    if name != DEFAULT:
        overlay = load_with_comments(root / FOLDER / f"{name}.yaml")
        if not isinstance(overlay, dict):
            raise ParamsError([f"{FOLDER}/{name}.yaml: a mapping of sections is expected"])
        _overlay(document, overlay, [], replaced)
    after = _plain(document)
    check(after, PARAMS if name == DEFAULT else f"{FOLDER}/{name}.yaml over {PARAMS}")
    if name == DEFAULT and original:
        write_text(root / PARAMS, original)
    else:
        save_with_comments(root / PARAMS, document)
    if name == DEFAULT:
        applied.unlink(missing_ok=True)
    else:
        written = (root / PARAMS).read_text("utf-8")
        original = original or _without(root, replaced, written)
        save_with_comments(applied, {"recipe": name, "replaced": replaced, "written": _digest(written), "original": original})
    return _differences(before, after)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _without(root: Path, replaced: list[dict[str, Any]], written: str) -> str:
    """The file as it would be without the recipe, when its own bytes are no longer known."""
    document = _round_trip().load(written)
    for change in replaced:
        _put(document, change["key"], change.get("value"), change["was"])
    return text_of(document)


def _overlay(target: Any, overlay: Any, path: list[str], replaced: list[dict[str, Any]]) -> None:
    """Deep merge; null removes a key; lists, values and choices of another kind are replaced whole. Notes what was there."""
    for key, value in overlay.items():
        here = [*path, str(key)]
        below = target.get(key)
        if isinstance(value, dict) and isinstance(below, dict) and value.get("kind") in (None, below.get("kind")):
            _overlay(target[key], value, here, replaced)
            continue
        was = key in target
        if was and value is not None and _plain(target[key]) == _plain(value):
            continue
        entry: dict[str, Any] = {"key": here, "was": was}
        if was:
            entry["value"] = target[key]
        replaced.append(entry)
        if value is None:
            target.pop(key, None)
        else:
            target[key] = value


def _put(document: Any, path: list[str], value: Any, was: bool) -> None:
    for part in path[:-1]:
        if not isinstance(document.get(part), dict):
            if not was:
                return
            document[part] = {}
        document = document[part]
    if was:
        document[path[-1]] = value
    else:
        document.pop(path[-1], None)


def _plain(document: Any) -> Any:
    return YAML(typ="safe").load(text_of(document))


def _differences(before: Any, after: Any, path: str = "") -> list[str]:
    """`key old -> new`; a section that came or went as a whole is one line."""
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        return [line for key in keys for line in _change(before, after, key, f"{path}.{key}" if path else str(key))]
    return [f"{path} {before!r} -> {after!r}"]


def _change(before: Any, after: Any, key: Any, path: str) -> list[str]:
    if key not in after:
        return [f"{path} removed"]
    if key not in before:
        shown = f"({len(after[key])} settings)" if isinstance(after[key], dict) else repr(after[key])
        return [f"{path} new: {shown}"]
    return _differences(before[key], after[key], path)
