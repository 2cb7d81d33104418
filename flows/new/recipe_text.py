"""A recipe's sections as YAML: as many lines as help the eye, and at most LINES."""

from __future__ import annotations

import json
import re
from typing import Any

LINES = 20
WIDTH = 110
SCHEMA = "# yaml-language-server: $schema=../schemas/recipe.schema.json"
PLAIN_TEXT = re.compile(r"[A-Za-z/.][\w/.-]*")  # what YAML reads as text without quotes
WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


def text_of(name: str, comment: str, value: dict[str, Any]) -> str:
    """Returns the recipe's file: as many lines as help the eye, and at most LINES."""
    head = [SCHEMA, f"# {comment}"]
    for width in (WIDTH, 140, 180, 240, 400, 100_000):
        lines = [line for key, section in value.items() for line in _lines(key, section, "", width)]
        if len(head) + len(lines) <= LINES:
            break
    return "\n".join([*head, *lines]) + "\n"


def _lines(key: str, value: Any, indent: str, width: int) -> list[str]:
    line = f"{indent}{key}: {_flow(value)}"
    if not isinstance(value, dict) or not value or len(line) <= width:
        return [line]
    inner = [line for name, item in value.items() for line in _lines(name, item, indent + "  ", width)]
    return [f"{indent}{key}:", *inner]


def _flow(value: Any) -> str:
    """Returns a value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    plain = isinstance(value, str) and PLAIN_TEXT.fullmatch(value) and value.lower() not in WORDS
    return str(value) if plain else json.dumps(value, ensure_ascii=False)
