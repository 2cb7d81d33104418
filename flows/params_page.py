"""docs/parameters.md and the JSON schemas: every key of params.yaml, generated from the typed records
(`whetstone params --write`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from flows.graph import section_records
from flows.graph.params_file import write_text
from flows.graph.params_keys import CITED, ITEM, NAME, Key, Keys, words
from flows.graph.params_partial import REF, Node
from flows.graph.params_schema import params_schema, recipe_schema

COMMAND = "whetstone params --write"
PAGE, PARAMS_SCHEMA, RECIPE_SCHEMA = (
    "docs/parameters.md",
    "schemas/params.schema.json",
    "schemas/recipe.schema.json",
)
SECTIONS = section_records.__name__.replace(".", "/") + ".py"  # where the sections' records are derived
HEAD = f"""# Parameters

Every key of params.yaml. `whetstone params KEY` prints one of them with its value now,
`whetstone params --find WORD` searches.
This page is made by `{COMMAND}`.

A key without a default must be given. NAME stands for a name that the file gives, N for a place in a list.
Members that are laid over
`common` or a preset hold only what differs. Intervals: `[` includes the bound, `(` does not.
"""


def written(root: Path) -> dict[str, str]:
    """Returns {path relative to the project's folder: the text that it should hold}."""
    schema = params_schema(root)
    return {PAGE: page(Keys(schema)), PARAMS_SCHEMA: _json(schema), RECIPE_SCHEMA: _json(recipe_schema(root))}


def write(root: Path) -> list[str]:
    """Write the files that are out of date. Returns their paths."""
    stale = {
        path: text
        for path, text in written(root).items()
        if not (root / path).exists() or (root / path).read_text("utf-8") != text
    }
    for path, text in stale.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        write_text(root / path, text)
    return list(stale)


def _json(schema: Node) -> str:
    """Returns the schema as JSON with one line per section and record, so that a change of one is a diff of
    one line.
    """
    rows = []
    for key, value in schema.items():
        if key in ("$defs", "properties"):
            inner = ",\n".join(
                f"  {json.dumps(name)}: {json.dumps(item, ensure_ascii=False)}"
                for name, item in sorted(value.items())
            )
            rows.append(f" {json.dumps(key)}: {{\n{inner}\n }}")
        else:
            rows.append(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(rows) + "\n}\n"


def page(keys: Keys) -> str:
    """Returns the Markdown text: the sections in order, the choices with the options of each kind, and the
    records that both refer to.
    """
    sections = keys.children(keys.root)
    definitions = {
        name: node for name, node in sorted(keys.schema["$defs"].items()) if not name.endswith(".partial")
    }
    choices = {name: node for name, node in definitions.items() if "x-tag" in node}
    records = {
        name: node
        for name, node in definitions.items()
        if "properties" in node and node.get("x-source") != SECTIONS  # which stand above
    }
    parts = [HEAD, "## Sections\n", *(_section(keys, key) for key in sections)]
    parts += [
        "## Choices\n",
        "The value of such a key is `{kind: …}` with the options of that kind, or the bare name of a kind "
        "without needs.\n",
    ]
    parts += [_choice(keys, name, node) for name, node in choices.items()]
    parts += ["## Records\n", *(_record(keys, name, node) for name, node in records.items())]
    return "\n".join(parts)


def _section(keys: Keys, key: Key) -> str:
    below = keys.children(key)
    return f"### {key.name}\n\n{_prose(keys.meaning(key))}\n\n{_table(keys, below or [key], key.name)}"


def _choice(keys: Keys, name: str, node: Node) -> str:
    about, parts = keys.about(node), []
    for kind, record in keys.kinds(node).items():
        rows = [child for child in keys.children(Key((), record, "")) if child.path[-1] != node["x-tag"]]
        parts.append(
            f"#### {_title(name)}: "
            f"{kind}\n\n{_prose(about.get(kind) or Key((), record, '').meaning)}\n\n{_table(keys, rows)}"
        )
    folder = node.get("x-seam", "").replace(".", "/")
    return "\n".join([f"### {_title(name)}\n", *([f"A module of `{folder}`.\n"] if folder else []), *parts])


def _record(keys: Keys, name: str, node: Node) -> str:
    key = Key((), node, "")
    return f"### {_title(name)}\n\n{_prose(key.meaning)}\n\n{_table(keys, keys.children(key))}"


def _table(keys: Keys, rows: Iterable[Key], above: str = "") -> str:
    lines = [f"| {' | '.join(_cells(keys, key, above))} |\n" for key in rows]
    return (
        "| key | value | default | unit | meaning |\n|---|---|---|---|---|\n" + "".join(lines)
        if lines
        else "No options.\n"
    )


def _cells(keys: Keys, key: Key, above: str) -> list[str]:
    name = key.name.removeprefix(f"{above}.") if above and key.name != above else key.name
    default = f"`{key.default}`" if key.default and len(key.default) <= 60 else ""
    return [
        f"`{name}`",
        _escape(_value(keys, key)),
        _escape(default),
        key.unit,
        _prose(_escape(keys.meaning(key))),
    ]


def _value(keys: Keys, key: Key) -> str:
    """Returns type and range; for records and choices a link to their part of the page."""
    links = []
    for part in (
        key.node,
        key.node.get("additionalProperties"),
        key.node.get("items"),
        *key.node.get("anyOf", ()),
    ):
        if isinstance(part, dict) and (
            name := part.get("x-name") or part.get("$ref", "").removeprefix(REF).removesuffix(".partial")
        ):
            node = keys.schema["$defs"][name]
            if "x-tag" in node or "properties" in node:
                links.append(f"[{_title(name)}](#{_anchor(_title(name))})")
    if not links:
        return words(keys, key.node)
    prefix = {NAME: "", ITEM: ""}.get(
        key.path[-1], "names of " if "additionalProperties" in key.node and "x-name" not in key.node else ""
    )
    none = " or null" if "null" in words(keys, {"anyOf": key.node.get("anyOf", [])}).split(" or ") else ""
    return (
        prefix
        + ("list of " if key.node.get("type") == "array" else "")
        + " or ".join(dict.fromkeys(links))
        + none
    )


def _title(name: str) -> str:
    """Returns `choice.objectives.masks.keep` as `Choice: objectives masks keep`; of a record its name, with
    its module where two have it.
    """
    if name.startswith(("choice.", "name.")):
        return f"Choice: {' '.join(name.split('.')[1:])}"
    *module, record = name.split("__")
    return f"{record} of {module[-2] if len(module) > 1 else module[0]}" if module else record


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _prose(text: str) -> str:
    """Returns a record's text with its citations as links, and with angle brackets and stars escaped."""
    text = re.sub(r"([<>*])(?![^`]*`(?:[^`]*`[^`]*`)*[^`]*$)", r"\\\1", text)
    return CITED.sub(lambda cited: f"[{cited[0]}](methods/{cited[0].partition(' ')[0]})", text)


def _escape(text: str) -> str:
    return text.replace("|", r"\|")
