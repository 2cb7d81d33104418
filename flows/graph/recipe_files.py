"""The values of recipe files when they were used: an edit after that reaches params.yaml with the next
`use`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flows.graph.params_file import ParamsError, read_yaml

FOLDER = "recipes"


def digests(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Returns {recipe: digest of its values}; comments and order count for nothing. Raises ParamsError."""
    return {name: _digest(root, name) for name in names}


def edited(root: Path, recorded: Mapping[str, str]) -> list[str]:
    """Returns the recipes whose file has other values than `digests` recorded, or cannot be read any more."""
    return [name for name, digest in recorded.items() if _digest_now(root, name) != digest]


def _digest_now(root: Path, name: str) -> str:
    try:
        return _digest(root, name)
    except ParamsError:
        return ""


def _digest(root: Path, name: str) -> str:
    values: Any = read_yaml(root / FOLDER / f"{name}.yaml")
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]
