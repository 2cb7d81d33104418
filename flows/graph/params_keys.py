"""The keys of params.yaml as its JSON schema describes them: looked up by name, searched, and in words."""

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
    """One key: where it stands (names that the file gives are NAME), of which kind's options it is, and what
    its schema says of it.
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
        """`spo.md 2.3`: sections of docs/methods that the description names."""
        return CITED.findall(self.meaning)

    @property
    def default(self) -> str:
        """As params.yaml would hold it; empty where the key must be given, or its default depends on
        others.
        """
        return shown(self.node["default"]) if "default" in self.node else ""

    @property
    def unit(self) -> str:
        """What a number counts, in the first word of its description that says it; empty for texts and pure
        numbers.
        """
        if not _is_number(self.node):
            return ""
        found = (_COUNTED if _is_number(self.node, "integer") else _MEASURED).match(self.meaning)
        return IN_NAMES.get(self.path[-1].rpartition("_")[2], found[1] if found else "")


class Keys:
    """All keys of a schema."""

    def __init__(self, schema: Node):
        self.schema = schema
        self.root = Key((), schema, "flows/graph/params.py")

    def children(self, key: Key) -> list[Key]:
        """The keys below one: of a record, of any member of a mapping or list, of the options of each
        kind.
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
        for one in node.get("anyOf", ()):
            yield from self._below(self.resolved(one), path, source, kind)
        if "x-tag" in node:
            for name, record in self.kinds(node).items():
                yield from (
                    one for one in self._below(record, path, source, name) if one.path[-1] != node["x-tag"]
                )
            tag = {
                **node["then"]["properties"][node["x-tag"]],
                "description": f"which: {', '.join(self.kinds(node))}",
            }
            yield Key((*path, node["x-tag"]), tag, source, "", True)

    def kinds(self, node: Node) -> dict[str, Node]:
        """Kind -> the record of its options, of a choice; empty for anything else."""
        if "x-tag" not in node:
            return {
                one: record
                for other in node.get("anyOf", ())
                for one, record in self.kinds(self.resolved(other)).items()
            }
        tag = node["x-tag"]
        chosen = [one for one in node["then"]["allOf"] if tag in one["if"].get("properties", {})]
        return {one["if"]["properties"][tag]["const"]: self.resolved(one["then"]) for one in chosen}

    def about(self, node: Node) -> dict[str, str]:
        """Kind -> the first line of its module."""
        for other in node.get("anyOf", ()):
            if found := self.about(self.resolved(other)):
                return found
        tags = node["then"]["properties"][node["x-tag"]] if "x-tag" in node else node
        return dict(
            zip((str(name) for name in tags.get("enum", ())), tags.get("enumDescriptions", ()), strict=False)
        )

    def resolved(self, node: Node) -> Node:
        """The definition that a node refers to, below what the node says itself."""
        if "$ref" not in node:
            return node
        name = node["$ref"].removeprefix(REF)
        own = {key: value for key, value in node.items() if key != "$ref"}
        return {**self.schema["$defs"][name], "x-name": name.removesuffix(".partial"), **own}

    def meaning(self, key: Key) -> str:
        """What a key means; of a mapping of records that says nothing, what such a record is."""
        if key.meaning:
            return key.meaning
        below = [] if self.kinds(key.node) else self.children(key)
        named = [child for one in below for child in [one, *self.children(one)] if child.path[-1] == NAME]
        return next((self.meaning(child) for child in named), "")

    def _needed(self, node: Node) -> list[str]:
        whole = self.schema["$defs"].get(node.get("x-name", ""), node)
        return list(whole.get("required", ()))

    def find(self, dotted: str, file: Any = None) -> list[Key]:
        """The keys of this name, several where kinds share it; of the kind that the `file` names there, or
        leaves to the default.
        """
        found, given = [self.root], file is not None
        for part in dotted.split("."):
            kind = _kind(found, file) or (_default_kind(found) if given else "")
            below = [child for key in found for child in self.children(key)]
            found = [key for key in below if key.path[-1] == part]
            found = found or [
                key for key in below if key.path[-1] in (NAME, ITEM) and (part in ("*", key.path[-1]) or part)
            ]
            found = [key for key in found if key.kind == kind] or found
            file = file.get(part) if isinstance(file, dict) else None
            found = [
                Key(
                    (*key.path[:-1], key.path[-1] if part == "*" else part),
                    key.node,
                    key.source,
                    key.kind,
                    key.needed,
                )
                for key in found
            ]
        return _different(found)

    def every(self) -> Iterator[Key]:
        """Each key of each record once, at its shortest path."""
        waiting, seen = [self.root], set[str]()
        while waiting:
            for key in self.children(waiting.pop(0)):
                yield key
                name = str(key.node.get("x-name", ""))
                if not name or name not in seen:
                    seen.add(name)
                    waiting.append(key)

    def search(self, word: str) -> list[Key]:
        """Keys with the word in their name or meaning, those that are called so first."""
        word = word.lower()
        found = [key for key in self.every() if word in key.path[-1].lower() or word in key.meaning.lower()]
        return sorted(found, key=lambda key: (word not in key.path[-1].lower(), len(key.path)))

    def nearest(self, dotted: str) -> list[str]:
        """Known keys like an unknown one: in the deepest record that is right, then of the same last word
        anywhere.
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


def _kind(found: list[Key], file: Any) -> str:
    """The kind of a choice as the file says it: in a mapping, or as its bare name."""
    tag = next((key.node["x-tag"] for key in found if "x-tag" in key.node), "kind")
    return str(file.get(tag, "")) if isinstance(file, dict) else str(file or "")


def _default_kind(found: list[Key]) -> str:
    defaults = (_kind([key], key.node.get("default")) for key in found if "x-tag" in key.node)
    return next(filter(None, defaults), "")


def _different(found: list[Key]) -> list[Key]:
    seen: list[tuple[str, Node]] = []
    kept = []
    for key in found:
        if (key.name, key.node) not in seen:
            seen.append((key.name, key.node))
            kept.append(key)
    return kept


def words(keys: Keys, node: Node) -> str:
    """The type and range of a value: `integer in [1, 64]`, `one of k1, k2`, `list of text`."""
    node = keys.resolved(node)
    if "anyOf" in node:
        return " or ".join(dict.fromkeys(words(keys, one) for one in node["anyOf"]))
    if "x-tag" in node:
        return f"choice of {', '.join(keys.kinds(node))}"
    if "enum" in node or "const" in node:
        values = node.get("enum", [node.get("const")])
        return ("one of " if len(values) > 1 else "") + ", ".join(shown(value) for value in values)
    kinds = node.get("type", "anything")
    if isinstance(kinds, list):
        return " or ".join(words(keys, {**node, "type": kind}) for kind in kinds)
    known = {"number": _number, "integer": _number, "array": _array, "object": _object, "string": _text}
    if kinds in known:
        return known[kinds](keys, node)
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
    of = node.get("additionalProperties")
    return f"mapping of names to {words(keys, of)}" if isinstance(of, dict) and of else "mapping"


def _text(_: Keys, node: Node) -> str:
    return f"text like {node['pattern']}" if "pattern" in node else "text"


def _is_number(node: Node, *kinds: str) -> bool:
    """Whether a value may be a number, of these types or of any."""
    types = node.get("type", [])
    if (
        set(types if isinstance(types, list) else [types]) & set(kinds or ("number", "integer"))
        and "enum" not in node
    ):
        return True
    return any(_is_number(one, *kinds) for one in node.get("anyOf", ()))


def shown(value: Any) -> str:
    """A value as params.yaml holds it, in one line."""
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
