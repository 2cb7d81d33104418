"""The JSON schema of params.yaml (draft-07, which editors support), generated from the typed records, the
seams' folders and dvc.yaml.

In addition to JSON schema's own keywords, each record has `x-source`, its module, and each seam `x-seam`, its
package. Members that are laid over what they share are partial where they stand in the file, and so is what
they share: only the keys that dvc.yaml makes inputs of are required there. A schema cannot express which
values must agree (`check` does).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, NoDefault
from pydantic_core import core_schema

from flows.graph.families import DVC_YAML, PLACEHOLDER, families, overlays, sections
from flows.graph.params import params_record
from flows.graph.params_file import read_yaml
from flows.graph.params_partial import REF, partial
from flows.graph.section_records import steps
from pipelines.settings import ROOT, Seam

DRAFT = "http://json-schema.org/draft-07/schema#"
EXTENDS = {
    "type": "array",
    "items": {"type": "string"},
    "description": "recipes that this one is laid over, in this order",
}
AGAIN = "x-again"  # marks a seam's node that is defined where it stands first
BY_PATH = r"^.+:[A-Za-z_]\w*$"  # a function by its path

_DOCSTRING = re.compile(r'(?:#.*\n|\s)*[rR]?"""(.*?)(?:\n\s*\n|""")', re.DOTALL)
Node = dict[str, Any]
Path_ = tuple[str, ...]


def params_schema(root: Path = ROOT) -> Node:
    """Returns the schema of params.yaml. A section that only dvc.yaml names, for a stage of the user's own,
    may hold anything.
    """
    schema, known = _generated(root), params_record(root).model_fields
    _lay(schema, {members: [steps(layer) for layer in layers] for members, layers in overlays(root).items()})
    declared = read_yaml(root / DVC_YAML) if (root / DVC_YAML).exists() else {}
    for name in sorted(sections(root) - set(known) - set(_elsewhere(declared, root))):
        schema["properties"][name] = {"description": "a section of a stage that dvc.yaml declares"}
    _describe(schema["properties"], declared)
    needs = _needs(path for path in _read_by_dvc(root) if path[0] in known)
    head = {
        "$schema": DRAFT,
        "title": "params.yaml of Whetstone",
        "description": "Every setting of every stage.",
    }
    return {**head, **schema, "allOf": [needs]} if needs else {**head, **schema}


def recipe_schema(root: Path = ROOT) -> Node:
    """Returns the schema of recipes/*.yaml. They are partial: no key is required, null removes a key, and
    items of lists are whole.
    """
    schema = params_schema(root)
    schema.pop("allOf", None)
    recipe: Node = partial(
        {name: value for name, value in schema.items() if name != "$defs"}, schema["$defs"], nulls=True
    )
    recipe["properties"]["extends"] = EXTENDS
    return {
        **recipe,
        "title": "A recipe of Whetstone",
        "description": "Laid over params.yaml by `whetstone use`; null takes a key out.",
    }


class _Generate(GenerateJsonSchema):
    """Pydantic's schema, in which a seam is a choice of its modules and a tagged union a choice by its tag,
    in a form whose validation errors name a place.
    """

    def function_plain_schema(self, schema: core_schema.PlainValidatorFunctionSchema) -> JsonSchemaValue:
        seam = getattr(schema["function"]["function"], "__self__", None)
        if not isinstance(seam, Seam):
            return super().function_plain_schema(schema)
        if seam in self._open:  # a choice among whose options stands one of the same seam, as in a sum
            return {**_marks(seam), "x-tag": seam.record.tag, AGAIN: True}
        return {"anyOf": [self._choice(seam), {"type": "null"}]} if _may_be_none(seam) else self._choice(seam)

    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> JsonSchemaValue:
        seam, inner = (
            getattr(schema["function"]["function"], "__self__", None),
            super().function_after_schema(schema),
        )
        return self._names(seam, inner) if isinstance(seam, Seam) else inner

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._open: list[Seam] = []

    @lru_cache(maxsize=64)  # noqa: B019  # a generator lives for one schema
    def _choice(self, seam: Seam) -> Node:
        self._open.append(seam)
        kinds = {
            name: self.generate_inner(seam.options(name).__pydantic_core_schema__) for name in seam.names()
        }
        self._open.pop()
        bare: Node = {"enum": [name for name in kinds if _needs_nothing(seam, name)]}
        return {
            "type": ["object", "string"],
            "else": {"anyOf": [bare, {"pattern": BY_PATH}]} if seam.by_path else bare,
            **_by_tag(seam.record.tag, kinds, _enum(seam, list(kinds))),
        } | _marks(seam)

    def _name(self, seam: Seam) -> Node:
        return {"type": "string", **_enum(seam, seam.names()), **_marks(seam)}

    def _names(self, seam: Seam, inner: Node) -> Node:
        """Returns the schema of a text, or null, as one that is a module's name; a schema that lists its
        names itself stays.
        """
        if "anyOf" in inner:
            return {**inner, "anyOf": [self._names(seam, alternative) for alternative in inner["anyOf"]]}
        return self._name(seam) if inner == {"type": "string"} else inner

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        union = super().tagged_union_schema(schema)
        tagged = union["discriminator"]
        kinds = {name: {"$ref": ref} for name, ref in tagged["mapping"].items()}
        return {"type": "object", **_by_tag(tagged["propertyName"], kinds, {"enum": list(kinds)})}

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        source = schema["cls"].__module__.partition("[")[0].replace(".", "/") + ".py"
        return {**super().model_schema(schema), "x-source": source}

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Returns `type: [number, null]` rather than two alternatives, so that an error says what is wrong
        with the number.
        """
        node = super().nullable_schema(schema)
        alternatives = node.get("anyOf", ())  # of a union that may be null, more than the two
        inner = alternatives[0] if len(alternatives) == 2 else {}
        simple = isinstance(inner.get("type"), str) and not inner.keys() & {"enum", "const", "x-seam"}
        return {**inner, "type": [inner["type"], "null"]} if simple else node

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        """Returns a tuple's schema without `prefixItems`, which draft-07 does not have."""
        node = super().tuple_schema(schema)
        items = node.pop("prefixItems", None)
        return (
            {**node, "items": items[0] if all(item == items[0] for item in items) else items}
            if items
            else node
        )

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        if "default_factory" in schema and not schema.get("default_factory_takes_data"):
            return schema["default_factory"]()  # type: ignore[call-arg]
        return schema.get("default", NoDefault)


def _by_tag(tag: str, kinds: Mapping[str, Node], enum: Node) -> Node:
    """Returns the condition that a mapping's tag is a known one and its other keys are options of that
    kind.
    """
    chosen = [
        {"if": {"required": [tag], "properties": {tag: {"const": name}}}, "then": ref}
        for name, ref in kinds.items()
    ]
    return {
        "if": {"type": "object"},
        "then": {"required": [tag], "properties": {tag: enum}, "allOf": chosen},
        "x-tag": tag,
    }


def _enum(seam: Seam, names: list[str]) -> Node:
    return {"enum": names, "enumDescriptions": [summary(seam.module(name)) for name in names]}


def _marks(seam: Seam) -> Node:
    return {"x-seam": seam.package, "x-interface": seam.interface}


def _may_be_none(seam: Seam) -> bool:
    try:
        return seam.choose(None) is None
    except ValueError:
        return False


def _needs_nothing(seam: Seam, name: str) -> bool:
    """Returns whether a kind may be written as its bare name, since none of its options is required."""
    try:
        seam.choose(name)
    except ValidationError:
        return False
    return True


def summary(module: str) -> str:
    """Returns the first paragraph of a module's docstring, on one line; the module is read, not imported."""
    text = ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text("utf-8")
    match = _DOCSTRING.match(text)
    return " ".join(match[1].split()) if match else ""


def _generated(root: Path) -> Node:
    record = params_record(root)
    schema = _Generate(by_alias=True).generate(record.__pydantic_core_schema__, mode="validation")
    _tidy(schema)
    shared: Node = {}
    schema = _shared(schema, shared)
    schema["$defs"].update(shared)
    return schema


def _shared(node: Any, shared: Node) -> Any:
    """Returns the schema with each seam's node moved into one definition, however many keys use it; a key's
    own description and default stay with the key.
    """
    if isinstance(node, list):
        return [_shared(item, shared) for item in node]
    if not isinstance(node, dict):
        return node
    result = {name: _shared(value, shared) for name, value in node.items()}
    if "x-seam" not in result:
        return result
    again = result.pop(AGAIN, False)
    own = {name: result.pop(name) for name in ("description", "default") if name in result}
    kind = "choice" if "x-tag" in result else "name"
    function = result["x-interface"].partition("(")[0]
    name = ".".join(part for part in (kind, result["x-seam"].removeprefix("pipelines."), function) if part)
    if not again:
        shared[name] = result
    return {"$ref": REF + name, **own}


def _tidy(node: Any) -> None:
    """Remove titles, which only repeat the key, and the line breaks of docstrings, in place."""
    if isinstance(node, list):
        for item in node:
            _tidy(item)
    elif isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        if isinstance(node.get("description"), str):
            node["description"] = " ".join(node["description"].split())
        for name, value in node.items():
            if name not in ("default", "enum", "enumDescriptions", "required"):
                _tidy(value)


def _elsewhere(declared: Node, root: Path) -> Iterable[str]:
    """Yields the sections that dvc.yaml reads from other files than params.yaml."""
    for name in declared.get("vars", ()):
        if isinstance(name, str) and (root / name).is_file():
            yield from read_yaml(root / name)


def _describe(sections: Node, declared: Node) -> None:
    """Describe the sections without a description by the description of the stage of the same name in
    dvc.yaml.
    """
    for name, node in sections.items():
        stage = declared.get("stages", {}).get(name, {})
        description = stage.get("do", stage).get("desc") if isinstance(stage, dict) else None
        if description and "description" not in node:
            node["description"] = str(description)


def _lay(schema: Node, layered: Mapping[Path_, list[Path_]]) -> None:
    """Make members, and what they are laid over, partial, in place. The shared part holds the keys that all
    records laid over it have.
    """
    above: dict[Path_, list[Node]] = {}
    places = {(*members, "*"): layers for members, layers in layered.items()}
    for location, layers in places.items():
        for layer in layers:
            above.setdefault(layer, []).append(copy.deepcopy(_at(schema, location)))
    for location in {*places, *above}:
        node = _at(schema, location)
        if "$ref" not in node and "properties" not in node:
            description = node.get("description", "")
            node.clear()
            node.update(_common(schema, above[location]), description=description)
    for location in {*places, *above}:
        node = _at(schema, location)
        partial_node = partial(node, schema["$defs"])
        schema["$defs"].update(partial_node.pop("$defs"))
        node.clear()
        node.update(partial_node)


def _common(schema: Node, records: list[Node]) -> Node:
    """Returns the keys that every one of the records has, as the record with the fewest keys describes
    them.
    """
    by_size = sorted(
        (schema["$defs"][record["$ref"].removeprefix(REF)] for record in records),
        key=lambda record: len(record["properties"]),
    )
    names = [
        name for name in by_size[0]["properties"] if all(name in other["properties"] for other in by_size)
    ]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: by_size[0]["properties"][name] for name in names},
    }


def _at(schema: Node, location: Path_) -> Node:
    """Returns the node at a place, for editing: shared definitions on the way are copied into the place
    first.
    """
    node: Node = schema
    for step in location:
        if "$ref" in node:
            node.update(copy.deepcopy(schema["$defs"][node["$ref"].removeprefix(REF)]) | node)
            del node["$ref"]
        node = node["additionalProperties"] if step == "*" else node["properties"][step]
    return node


def _read_by_dvc(root: Path) -> Iterable[Path_]:
    """Yields the settings that dvc.yaml's own templates read, which must stand in the file: ("dpo", "runs",
    "*", "start"). Optional references are left out, since they are filled in.
    """
    for family in families(root):
        for template in (*family.deps, *family.outs, *family.sections):
            for name in PLACEHOLDER.findall(template):
                first, _, key = name.partition(".")
                if key in family.optional:
                    continue
                if first == "item" and key and key != family.variable:
                    yield (*family.over, "*", *key.split("."))
                elif first not in ("item", "key") and not family.over:  # else only where there are members
                    yield tuple(name.split("."))


def _needs(paths: Iterable[Path_]) -> Node:
    """Returns the constraint that every path exists; `*` is any name."""
    below: dict[str, list[Path_]] = {}
    for path in paths:
        if path:
            below.setdefault(path[0], []).append(path[1:])
    inner = {name: needs for name, remainder in below.items() if (needs := _needs(remainder))}
    named = {name: needs for name, needs in inner.items() if name != "*"}
    constraint = {
        "required": sorted(name for name in below if name != "*"),
        "properties": named,
        "additionalProperties": inner.get("*", {}),
    }
    return {key: value for key, value in constraint.items() if value}
