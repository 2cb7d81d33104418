"""A stage that is asked for by name and whose settings params.yaml holds, but does not list: what listing it takes.

`rl@NAME` needs NAME in rl.methods; `evaluate@NAME` needs it in evaluate.models and, where no stage makes that model yet, in rl.methods.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flows.graph.contradictions import names
from flows.graph.references import Graph
from flows.graph.sections import presets


def unlisted(raw: Any) -> list[str]:
    """Presets that have no stage rl@<preset>."""
    methods = names(raw, "rl", "methods")
    return [name for name in presets(raw) if name not in methods]


def missing(raw: Any, targets: Iterable[str]) -> list[tuple[str, str, str]]:
    """(section, key, name) to be added, in order and each once. A target that names no preset or model is left for the plan to refuse."""
    found: list[tuple[str, str, str]] = []
    known, methods, models = presets(raw), names(raw, "rl", "methods"), names(raw, "evaluate", "models")
    trained = Graph(raw).models("policy")
    for target in targets:
        stage, _, name = target.partition("@")
        if stage not in ("rl", "evaluate") or name not in [*known, *(trained if stage == "evaluate" else ())]:
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
