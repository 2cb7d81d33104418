"""The keys of params.yaml as its JSON schema describes them: lookup by name, search, and descriptions in
words.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flows.graph.params_partial import REF, Node

NAME = "NAME"  # stands for any name that the file gives: of a corpus, a run, a source
ITEM = "N"  # and for any place in a list
CITED = re.compile(
    r"\b[a-z][\w-]*\.md (?:\d+(?:\.\d+)*|U\d+)(?:(?:, | and | to )(?:\d+\.\d+(?:\.\d+)*|U\d+))*"
)
COUNTED = (
    "bytes characters letters tokens words rows lines questions problems prompts pairs answers responses "
    "demonstrations sequences samples "
    "positions iterations updates steps epochs passes rounds matches judgements verdicts votes annotators "
    "stages processes threads layers "
    "heads keys models members tries requests worlds cases levels segments boundaries continuations bins "
    "examples units slots files"
)  # of whole numbers
MEASURED = "seconds share chance probability similarity"  # of any
IN_NAMES = {
    "s": "seconds",
    "kb": "KiB",
    "mb": "MiB",
    **{unit: unit for unit in ("seconds", "tokens", "words", "share")},
}
_COUNTED, _MEASURED = (
    re.compile(rf"(?:\S+ ){{0,3}}?({'|'.join(units.split())})\b")
    for units in (f"{MEASURED} {COUNTED}", MEASURED)
)


@dataclass(frozen=True)
class Key:
    """One key: its path (NAME stands for names that the file gives), the kind whose option it is, and its
    schema.
    """

    path: tuple[str, ...]
    node: Node
    source: str  # the module of the record that holds it
    kind: str = ""
    needed: bool = False  # whether its record has no default for it

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def meaning(self) -> str:
        return " ".join(str(self.node.get("description", "")).split())

    @property
    def cited(self) -> list[str]:
        """The sections of docs/methods that the description cites, such as `spo.md 2.3`."""
        return CITED.findall(self.meaning)

    @property
    def default(self) -> str:
        """The default as params.yaml would hold it; empty where the key must be given, or its default depends
        on other keys.
        """
        return shown(self.node["default"]) if "default" in self.node else ""

    @property
    def unit(self) -> str:
        """The unit of a number, from the first words of its description; empty for texts and pure numbers."""
        if not _is_number(self.node):
            return ""
        match = (_COUNTED if _is_number(self.node, "integer") else _MEASURED).match(self.meaning)
        return IN_NAMES.get(self.path[-1].rpartition("_")[2], match[1] if match else "")


class Keys:
    """All keys of a schema."""

    def __init__(self, schema: Node):
        self.schema = schema
        self.root = Key((), schema, "flows/graph/params.py")

    def children(self, key: Key) -> list[Key]:
        """Returns the keys below one: of a record, of any member of a mapping or list, and of the options of
        each kind.
        """
        return list(self._below(key.node, key.path, key.source, key.kind))

    def _below(self, node: Node, path: tuple[str, ...], source: str, kind: str) -> Iterator[Key]:
        source = node.get("x-source", source)
        for name, value in node.get("properties", {}).items():
            yield Key((*path, name), self.resolved(value), source, kind, name in self._needed(node))
        if isinstance(node.get("additionalProperties"), dict):
            yield Key((*path, NAME), self.resolved(node["additionalProperties"]), source, kind)
        if isinstance(node.get("items"), dict) and any(
            self._below(self.resolved(node["items"]), path, source, kind)
        ):
            yield Key((*path, ITEM), self.resolved(node["items"]), source, kind)
        for item in node.get("anyOf", ()):
            yield from self._below(self.resolved(item), path, source, kind)
        if "x-tag" in node:
            for name, record in self.kinds(node).items():
                yield from (
                    item for item in self._below(record, path, source, name) if item.path[-1] != node["x-tag"]
                )
            tag = {
                **node["then"]["properties"][node["x-tag"]],
                "description": f"which: {', '.join(self.kinds(node))}",
            }
            yield Key((*path, node["x-tag"]), tag, source, "", True)

    def kinds(self, node: Node) -> dict[str, Node]:
        """Returns {kind: the record of its options} of a choice; empty for anything else."""
        if "x-tag" not in node:
            return {
                kind: record
                for other in node.get("anyOf", ())
                for kind, record in self.kinds(self.resolved(other)).items()
            }
        tag = node["x-tag"]
        chosen = [branch for branch in node["then"]["allOf"] if tag in branch["if"].get("properties", {})]
        return {branch["if"]["properties"][tag]["const"]: self.resolved(branch["then"]) for branch in chosen}

    def about(self, node: Node) -> dict[str, str]:
        """Returns {kind: the first line of its module}."""
        for alternative in node.get("anyOf", ()):
            if lines := self.about(self.resolved(alternative)):
                return lines
        tags = node["then"]["properties"][node["x-tag"]] if "x-tag" in node else node
        return dict(
            zip((str(name) for name in tags.get("enum", ())), tags.get("enumDescriptions", ()), strict=False)
        )

    def resolved(self, node: Node) -> Node:
        """Returns the definition that a node refers to, overridden by the node's own entries."""
        if "$ref" not in node:
            return node
        name = node["$ref"].removeprefix(REF)
        own = {key: value for key, value in node.items() if key != "$ref"}
        return {**self.schema["$defs"][name], "x-name": name.removesuffix(".partial"), **own}

    def meaning(self, key: Key) -> str:
        """Returns the meaning of a key; for a mapping without a description, that of its members' record."""
        if key.meaning:
            return key.meaning
        below = [] if self.kinds(key.node) else self.children(key)
        members = [
            child for parent in below for child in [parent, *self.children(parent)] if child.path[-1] == NAME
        ]
        return next((self.meaning(child) for child in members), "")

    def _needed(self, node: Node) -> list[str]:
        definition = self.schema["$defs"].get(node.get("x-name", ""), node)
        return list(definition.get("required", ()))

    def find(self, dotted: str, file: Any = None) -> list[Key]:
        """Returns the keys of this name, several where kinds share it; only those of the kind that the `file`
        names there, or of the default kind.
        """
        matches, with_file = [self.root], file is not None
        for part in dotted.split("."):
            kind = _kind(matches, file) or (_default_kind(matches) if with_file else "")
            below = [child for key in matches for child in self.children(key)]
            matches = [key for key in below if key.path[-1] == part]
            matches = matches or [
                key for key in below if key.path[-1] in (NAME, ITEM) and (part in ("*", key.path[-1]) or part)
            ]
            matches = [key for key in matches if key.kind == kind] or matches
            file = file.get(part) if isinstance(file, dict) else None
            matches = [
                Key(
                    (*key.path[:-1], key.path[-1] if part == "*" else part),
                    key.node,
                    key.source,
                    key.kind,
                    key.needed,
                )
                for key in matches
            ]
        return _different(matches)

    def every(self) -> Iterator[Key]:
        """Yields each key of each record once, at its shortest path."""
        queue, visited = [self.root], set[str]()
        while queue:
            for key in self.children(queue.pop(0)):
                yield key
                name = str(key.node.get("x-name", ""))
                if not name or name not in visited:
                    visited.add(name)
                    queue.append(key)

    def search(self, word: str) -> list[Key]:
        """Returns the keys with the word in their name or meaning, those with it in the name first."""
        word = word.lower()
        matches = [key for key in self.every() if word in key.path[-1].lower() or word in key.meaning.lower()]
        return sorted(matches, key=lambda key: (word not in key.path[-1].lower(), len(key.path)))

    def nearest(self, dotted: str) -> list[str]:
        """Returns known keys similar to an unknown one: in its deepest valid record, and those whose last
        part is similar anywhere.
        """
        parts = dotted.split(".")
        depth = next(
            depth
            for depth in range(len(parts) - 1, -1, -1)
            if depth == 0 or self.find(".".join(parts[:depth]))
        )
        above = self.find(".".join(parts[:depth])) if depth else [self.root]
        known = [child.path[-1] for key in above for child in self.children(key)]
        close = [
            ".".join((*parts[:depth], name))
            for name in difflib.get_close_matches(parts[depth], known, n=3, cutoff=0.5)
        ]
        names = {key.path[-1]: key.name for key in reversed(list(self.every()))}
        close += [names[name] for name in difflib.get_close_matches(parts[-1], names, n=3, cutoff=0.75)]
        return list(dict.fromkeys(close))


def _kind(keys: list[Key], file: Any) -> str:
    """Returns the kind of a choice as the file gives it: in a mapping, or as its bare name."""
    tag = next((key.node["x-tag"] for key in keys if "x-tag" in key.node), "kind")
    return str(file.get(tag, "")) if isinstance(file, dict) else str(file or "")


def _default_kind(keys: list[Key]) -> str:
    defaults = (_kind([key], key.node.get("default")) for key in keys if "x-tag" in key.node)
    return next(filter(None, defaults), "")


def _different(keys: list[Key]) -> list[Key]:
    seen: list[tuple[str, Node]] = []
    unique = []
    for key in keys:
        if (key.name, key.node) not in seen:
            seen.append((key.name, key.node))
            unique.append(key)
    return unique


def words(keys: Keys, node: Node) -> str:
    """Returns the type and range of a value as text: `integer in [1, 64]`, `one of k1, k2`, `list of
    text`.
    """
    node = keys.resolved(node)
    if "anyOf" in node:
        return " or ".join(dict.fromkeys(words(keys, alternative) for alternative in node["anyOf"]))
    if "x-tag" in node:
        return f"choice of {', '.join(keys.kinds(node))}"
    if "enum" in node or "const" in node:
        values = node.get("enum", [node.get("const")])
        return ("one of " if len(values) > 1 else "") + ", ".join(shown(value) for value in values)
    kinds = node.get("type", "anything")
    if isinstance(kinds, list):
        return " or ".join(words(keys, {**node, "type": kind}) for kind in kinds)
    writers = {"number": _number, "integer": _number, "array": _array, "object": _object, "string": _text}
    if kinds in writers:
        return writers[kinds](keys, node)
    return "true or false" if kinds == "boolean" else str(kinds)


def _number(_: Keys, node: Node) -> str:
    low, high = (
        node.get("minimum", node.get("exclusiveMinimum")),
        node.get("maximum", node.get("exclusiveMaximum")),
    )
    if low is None and high is None:
        return str(node["type"])
    if high is None:
        return f"{node['type']} {'≥' if 'minimum' in node else '>'} {low:g}"
    if low is None:
        return f"{node['type']} {'≤' if 'maximum' in node else '<'} {high:g}"
    bounds = ("[" if "minimum" in node else "(", "]" if "maximum" in node else ")")
    return f"{node['type']} in {bounds[0]}{shown(low)}, {shown(high)}{bounds[1]}"


def _array(keys: Keys, node: Node) -> str:
    items = node.get("items", {})
    if isinstance(items, list):
        return f"list of {', '.join(words(keys, item) for item in items)}"
    least, most = node.get("minItems", 0), node.get("maxItems")
    count = f"{most} x " if most is not None and most == least else ""
    return f"list of {count}{words(keys, items)}" + (f", at least {least}" if least and not count else "")


def _object(keys: Keys, node: Node) -> str:
    if "properties" in node:
        return "record"
    values = node.get("additionalProperties")
    return f"mapping of names to {words(keys, values)}" if isinstance(values, dict) and values else "mapping"


def _text(_: Keys, node: Node) -> str:
    return f"text like {node['pattern']}" if "pattern" in node else "text"


def _is_number(node: Node, *kinds: str) -> bool:
    """Returns whether a value may be a number, of these types or of any."""
    types = node.get("type", [])
    if (
        set(types if isinstance(types, list) else [types]) & set(kinds or ("number", "integer"))
        and "enum" not in node
    ):
        return True
    return any(_is_number(alternative, *kinds) for alternative in node.get("anyOf", ()))


def shown(value: Any) -> str:
    """Returns a value as params.yaml holds it, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    if isinstance(value, str):
        return (
            value
            if re.fullmatch(r"[\w./@-]*[A-Za-z_][\w./@-]*", value) and value not in ("null", "true", "false")
            else json.dumps(value)
        )
    return json.dumps(value)
