"""The partial form of a JSON schema, in which no key is required: for values that are laid over others."""

from __future__ import annotations

from typing import Any

REF = "#/$defs/"
Node = dict[str, Any]


def partial(node: Node, definitions: Node, nulls: bool = False) -> Node:
    """Returns `node` without required keys, with the definitions that it then refers to as its `$defs`. With
    `nulls`, null may replace every value.

    A choice may leave out its kind, where that is given by what it is laid over: then the options of any kind
    are allowed. Items of lists stay whole, since a list is replaced and not laid over.
    """
    return _Partial(definitions, nulls).all_of(node)


class _Partial:
    def __init__(self, definitions: Node, nulls: bool):
        self.definitions, self.nulls = definitions, nulls
        self.partials: Node = {}

    def all_of(self, node: Node) -> Node:
        schema = self.node(node)
        return {**schema, "$defs": self.partials}

    def node(self, node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        result = {name: value for name, value in node.items() if name != "required"}
        if "$ref" in node:
            result["$ref"] = self._reference(node["$ref"])
            return result
        if "x-tag" in node:
            result |= self._choice(node)
        if "properties" in node:
            result["properties"] = {key: self.node(value) for key, value in node["properties"].items()}
        if isinstance(node.get("additionalProperties"), dict):
            result["additionalProperties"] = self.node(node["additionalProperties"])
        if "items" in node:
            self._keep(node["items"])
        if "anyOf" in node:
            result["anyOf"] = [self.node(alternative) for alternative in node["anyOf"]]
        return self._nullable(result) if self.nulls else result

    def _nullable(self, node: Node) -> Node:
        if "type" in node:
            types = node["type"] if isinstance(node["type"], list) else [node["type"]]
            node["type"] = [*types, *(["null"] if "null" not in types else [])]
        if "const" in node:
            node["enum"] = [node.pop("const")]
        if "enum" in node:
            node["enum"] = [*node["enum"], *([None] if None not in node["enum"] else [])]
        if "else" in node:
            node["else"] = self._nullable(dict(node["else"]))
        return node

    def _reference(self, ref: str) -> str:
        base = ref.removeprefix(REF).removesuffix(".partial")
        name = f"{base}.partial"
        if name not in self.partials:
            self.partials[name] = {}
            self.partials[name] = self.node(self.definitions[base])
        return REF + name

    def _keep(self, node: Any) -> None:
        """Copy the whole definitions that an item of a list refers to."""
        for part in node if isinstance(node, list) else node.values() if isinstance(node, dict) else ():
            self._keep(part)
        if isinstance(node, dict) and isinstance(node.get("$ref"), str):
            name = node["$ref"].removeprefix(REF)
            if name not in self.partials:
                self.partials[name] = self.definitions[name]
                self._keep(self.definitions[name])

    def _choice(self, node: Node) -> Node:
        """Returns the options by the tag where it is given, else the options of any kind."""
        tag, then = node["x-tag"], node["then"]
        chosen = [{**branch, "then": self.node(branch["then"])} for branch in then["allOf"]]
        options: dict[str, list[Node]] = {}
        for branch in chosen:
            kind = (
                self.partials[branch["then"]["$ref"].removeprefix(REF)]
                if "$ref" in branch["then"]
                else branch["then"]
            )
            for name, value in kind["properties"].items():
                known = options.setdefault(name, [])
                if value not in known:
                    known.append(value)
        options.pop(tag, None)
        any_kind = {
            name: values[0] if len(values) == 1 else {"anyOf": values} for name, values in options.items()
        }
        untagged = {
            "if": {"not": {"required": [tag]}},
            "then": {"properties": {tag: True, **any_kind}, "additionalProperties": False},
        }
        return {"then": {"properties": {tag: then["properties"][tag]}, "allOf": [*chosen, untagged]}}
