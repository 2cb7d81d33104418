"""`whetstone params`: what a key of params.yaml means, its possible values, its value now and the line that
sets it.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.command_line import fail, out
from flows.graph.families import at
from flows.graph.params import Params, check
from flows.graph.params_file import PARAMS, ParamsError, read_yaml
from flows.graph.params_keys import ITEM, NAME, Key, Keys, shown, words
from flows.graph.params_schema import params_schema
from flows.graph.presets import PRESETS_FILE, with_presets
from flows.graph.sections import with_members_laid
from pipelines.settings import Settings

MATCHES_SHOWN = 40  # hits of a search that are printed


@dataclass(frozen=True)
class PlacedValue:
    """A value of the file and the key that holds it."""

    value: Any
    where: str = field(compare=False)

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True)
class Now:
    """The present value of a key, and the key that sets it (`where`) with its file; both are empty for the
    default.
    """

    value: Any
    where: str
    file: str = ""

    def sentence(self, name: str) -> str:
        if not self.where:
            return "its default"
        if not self.file:
            return f"the default of {self.where}"
        return self.file if self.where == name else f"{self.file}: {self.where}, which it is laid over"


class Values:
    """The values of params.yaml, together with everything that they are laid over."""

    def __init__(self, root: Path):
        self._own = read_yaml(root / PARAMS)
        self.raw = with_presets(self._own, root)
        self.laid = with_members_laid(
            _placed(self.raw), lambda value, key: _placed(value, tuple(key.split(".")))
        )
        self.problems: list[str] = []
        try:
            self.typed: Params | None = check(self.raw, root=root)
        except ParamsError as error:
            self.typed, self.problems = None, error.problems

    def of(self, name: str) -> Now | None:
        """Returns the present value of a key; None for a section, for a placeholder of names, and for an
        option of another kind.
        """
        placed = at(self.laid, name.split("."))
        if isinstance(placed, PlacedValue):
            return Now(placed.value, placed.where, self._file_of(placed.where))
        if placed is not None or self.typed is None:
            return None
        value: Any = self.typed
        try:
            for part in name.split("."):
                value = (
                    value[part]
                    if isinstance(value, dict)
                    else value[int(part)]
                    if isinstance(value, tuple)
                    else getattr(value, part)
                )
        except (AttributeError, KeyError, IndexError, ValueError):
            return None
        return (
            None
            if isinstance(value, Settings)
            else Now(list(value) if isinstance(value, tuple) else value, "")
        )

    def _file_of(self, where: str) -> str:
        """Returns the file that holds a key, params.yaml before presets.yaml; empty where none does."""
        *above, last = where.split(".")
        for name, values in ((PARAMS, self._own), (PRESETS_FILE, self.raw)):
            if isinstance(holder := at(values, above), dict) and last in holder:
                return name
        return ""


def _placed(value: Any, path: tuple[str, ...] = ()) -> Any:
    if isinstance(value, dict):
        return {key: _placed(item, (*path, str(key))) for key, item in value.items()}
    return PlacedValue(value, ".".join(path))


def show(root: Path, key: str | None, find: str | None, as_json: bool) -> None:
    """Print the sections, one key, or the keys that contain a word."""
    keys = Keys(params_schema(root))
    if find is not None:
        _print_found(keys, find, as_json)
        return
    if key is None:
        sections = keys.children(keys.root)
        if as_json:
            print(
                json.dumps(
                    [{"key": entry.name, "meaning": keys.meaning(entry)} for entry in sections], indent=1
                )
            )
        else:
            _print_lines((entry.name, keys.meaning(entry).partition(". ")[0]) for entry in sections)
        return
    try:
        values = Values(root)
    except ParamsError as error:
        fail(str(error), 2, as_json)
    matches = keys.find(key, values.laid)
    if not matches:
        nearest = keys.nearest(key)
        fail(
            f"no key {key}; {'nearest: ' + ', '.join(nearest) if nearest else 'search with --find WORD'}",
            2,
            as_json,
        )
    if as_json:
        print(json.dumps([as_dict(keys, entry, values) for entry in matches], indent=1))
        return
    for entry in matches:
        _print_key(keys, entry, values)


def as_dict(keys: Keys, key: Key, values: Values, below: bool = True) -> dict[str, Any]:
    """Returns a key as a dictionary for programs; with `below`, including its own keys or the options of each
    kind.
    """
    now, node = values.of(key.name), key.node
    result: dict[str, Any] = {
        "key": key.name,
        "type": words(keys, node),
        **{
            name: node[name]
            for name in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "enum")
            if name in node
        },
        "meaning": keys.meaning(key),
        "unit": key.unit or None,
        "needed": key.needed,
        **({"default": node["default"]} if "default" in node else {}),
        **({"value": now.value, "from": now.where or "default", "file": now.file or None} if now else {}),
        "kind": key.kind or None,
        "source": key.source,
        "cited": key.cited,
    }
    if not below:
        return result
    children = [as_dict(keys, child, values, below=False) for child in keys.children(key)]
    kinds = keys.about(node)
    return result | ({"kinds": kinds} if kinds else {}) | ({"keys": children} if children else {})


def _print_key(keys: Keys, key: Key, values: Values) -> None:
    now, kinds = values.of(key.name), keys.about(key.node)
    out.print(
        f"{key.name}{f'  (option of the kind {key.kind})' if key.kind else ''}", style="bold", markup=False
    )
    facts = {
        "meaning": keys.meaning(key),
        "type": words(keys, key.node),
        "unit": key.unit,
        "default": key.default or ("none: it must be given" if key.needed else ""),
        "now": f"{shown(now.value)}  ({now.sentence(key.name)})" if now else "",
        "source": ", ".join([key.source, *(f"docs/methods/{cited}" for cited in key.cited)]),
    }
    _print_lines((name, text) for name, text in facts.items() if text)
    if kinds:
        out.print("kinds:")
        _print_lines(kinds.items())
    below = [child for child in keys.children(key) if not kinds or child.path[-1] != key.node.get("x-tag")]
    if below:
        out.print("names, and the keys of each:" if below[0].path[-1] in (NAME, ITEM) else "keys:")
    for child in below:
        for entry in keys.children(child) if child.path[-1] in (NAME, ITEM) else [child]:
            _print_short(keys, entry, values, key)
    if values.problems:
        out.print(
            f"{PARAMS} has {len(values.problems)} problems: `whetstone plan` says which",
            style="yellow",
            markup=False,
        )


def _print_short(keys: Keys, key: Key, values: Values, above: Key) -> None:
    """Print a key of a record in two lines."""
    now, kind = values.of(key.name), f"{key.kind}: " if key.kind and key.kind != above.kind else ""
    name = key.name.removeprefix(f"{above.name}.")
    value = f" = {shown(now.value)}" if now else ""
    default = (
        f", default {key.default}"
        if key.default and len(key.default) < 40
        else ", needed"
        if key.needed
        else ""
    )
    _print_wrapped(f"  {kind}{name}{value}   {words(keys, key.node)}{default}", "      ")
    _print_wrapped(f"      {keys.meaning(key)}", "      ")


def _print_found(keys: Keys, word: str, as_json: bool) -> None:
    matches = keys.search(word)
    if as_json:
        print(
            json.dumps(
                [
                    {"key": key.name, "kind": key.kind or None, "meaning": keys.meaning(key)}
                    for key in matches
                ],
                indent=1,
            )
        )
        return
    if not matches:
        fail(f"no key holds {word!r} in its name or meaning", 2)
    for key in matches[:MATCHES_SHOWN]:
        _print_wrapped(f"{key.name}{f' ({key.kind})' if key.kind else ''}", "    ")
        _print_wrapped(f"    {keys.meaning(key)}", "    ")
    if len(matches) > MATCHES_SHOWN:
        out.print(f"and {len(matches) - MATCHES_SHOWN} more (--json has all)")


def _print_lines(rows: Iterable[tuple[str, str]]) -> None:
    """Print names in a column with their text beside them."""
    lines = list(rows)
    width = min(max((len(name) for name, _ in lines), default=0), 24) + 2
    for name, text in lines:
        lead = f"  {name:<{width}}"
        for line in _wrapped(lead + text, " " * len(lead)):
            out.print(line, markup=False)


def _print_wrapped(text: str, indent: str) -> None:
    for line in _wrapped(text, indent):
        if line.strip():
            out.print(line, markup=False)


def _wrapped(text: str, indent: str) -> Iterator[str]:
    yield from textwrap.wrap(
        text, max(40, out.width), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [""]
