"""What the sections of params.yaml must agree on beside the references that dvc.yaml's templates make
(`references.py`), and beside what a stage checks itself (`stage_checks.py`).

Read from the raw file, so that it is said even when something else is wrong too.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from flows.graph.families import at, families
from flows.graph.references import Graph, Problem
from tasks.checks import nearest

LICENCES = "licences"


def contradictions(raw: dict[str, Any], root: Path | None = None) -> Iterator[Problem]:
    """Yields every contradiction of the file. `root` is the project whose dvc.yaml counts; None: this one."""
    yield from Graph(raw, root).problems()
    yield from _presets(raw, root)
    yield from _licences(raw)


def mapping(raw: Any, *path: str) -> dict[str, Any]:
    """Returns the mapping at a path; empty where there is none (the check of the types reports that)."""
    value = at(raw, path)
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def names(raw: Any, *path: str) -> list[str]:
    """Returns the names in the list or the keys of the mapping at a path."""
    value = at(raw, path)
    return [str(name) for name in value] if isinstance(value, (list, dict)) else []


def preset_names(raw: Any, sections: Iterable[tuple[str, ...]]) -> list[str]:
    """Returns the presets that some sections hold, each once."""
    return list(dict.fromkeys(name for section in sections for name in names(raw, *section)))


def _licences(raw: dict[str, Any]) -> Iterator[Problem]:
    """Yields a problem for every licence of something that nothing else in the file names."""
    named = set(_texts({key: value for key, value in raw.items() if key != LICENCES}))
    for name in mapping(raw, LICENCES):
        if name not in named:
            close = difflib.get_close_matches(name, sorted(named), n=1)
            hint = f"nearest: {close[0]}" if close else "write it as `raw` or `pretrained` does"
            yield f"{LICENCES}.{name}", f"nothing else in this file is called so; {hint}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _presets(raw: dict[str, Any], root: Path | None) -> Iterator[Problem]:
    """Yields a problem for every run that names an unknown preset: `rl.methods.${item.method}` makes `method`
    a key of rl.methods.
    """
    for family in families(root):
        for setting, sections in family.presets.items():
            known = preset_names(raw, sections)
            for name, item in mapping(raw, *family.over).items():
                value, run = at(item, (setting,)), ".".join((*family.over, name))
                if value is None and isinstance(item, dict):
                    yield f"{run}.{setting}", f"must stand in {run} itself: dvc.yaml reads it there"
                elif value is not None and str(value) not in known:
                    problem = f"no preset of {' or '.join(map('.'.join, sections))} is called {value!r}"
                    yield f"{run}.{setting}", f"{problem}; {nearest(value, known)}"
