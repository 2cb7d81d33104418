"""A stage that is asked for by name and whose preset params.yaml holds, but does not list: what listing it takes.

`rl@NAME` needs NAME in rl.methods; `evaluate@NAME` needs it in evaluate.models and, unless it is a stage's model already, in rl.methods.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

NO_METHODS = ("methods", "common")  # keys of the section rl that are no presets
TRAINED = ("base", "sft")


def listed(raw: Any, section: str, key: str) -> list[str]:
    """The names in rl.methods or evaluate.models; none where the file is wrong (its check says so)."""
    found = raw.get(section) if isinstance(raw, dict) else None
    names = found.get(key) if isinstance(found, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def presets(raw: Any) -> list[str]:
    section = raw.get("rl") if isinstance(raw, dict) else None
    return [str(name) for name in section if name not in NO_METHODS] if isinstance(section, dict) else []


def unlisted(raw: Any) -> list[str]:
    """Presets that have no stage rl@<preset>."""
    methods = listed(raw, "rl", "methods")
    return [name for name in presets(raw) if name not in methods]


def missing(raw: Any, targets: Iterable[str]) -> list[tuple[str, str, str]]:
    """(section, key, name) to be added, in order and each once. A target that names no preset is left for the plan to refuse."""
    found: list[tuple[str, str, str]] = []
    known, methods, models = presets(raw), listed(raw, "rl", "methods"), listed(raw, "evaluate", "models")
    for target in targets:
        stage, _, name = target.partition("@")
        if stage not in ("rl", "evaluate") or name not in [*known, *(TRAINED if stage == "evaluate" else ())]:
            continue
        if name in known and name not in methods:
            found.append(("rl", "methods", name))
        if stage == "evaluate" and name not in models:
            found.append(("evaluate", "models", name))
    return list(dict.fromkeys(found))


def add(document: Any, additions: Iterable[tuple[str, str, str]]) -> None:
    """Enter them into a document of `params_file.load_with_comments`, at the end of their lists. What is no list is left to the check."""
    for section, key, name in additions:
        values = document.get(section)
        if isinstance(values, dict) and isinstance(values.setdefault(key, []), list):
            values[key].append(name)
