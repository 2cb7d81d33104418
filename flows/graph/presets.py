"""presets.yaml: presets by name, which params.yaml need not repeat.

It holds sections of params.yaml that lie below it: a run may name any of them, and params.yaml changes or
adds what it says itself. What a run uses counts with the run (flows/graph/codelock.py), so a preset that no
run names makes nothing stale.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.graph.params_file import ParamsError, read_yaml
from flows.graph.references import DVC_YAML
from pipelines.settings import ROOT, laid_over

PRESETS_FILE = "presets.yaml"


def presets(root: Path | None = None) -> dict[str, Any]:
    """What presets.yaml holds; nothing where the project has neither it nor a dvc.yaml, which names it."""
    path = (root or ROOT) / PRESETS_FILE
    if not path.exists() and (root or ROOT).joinpath(DVC_YAML).exists():
        raise ParamsError([f"{path}: not found; bring it back with `git checkout {PRESETS_FILE}`"])
    return read_yaml(path) if path.exists() else {}


def with_presets(raw: dict[str, Any], root: Path | None = None) -> dict[str, Any]:
    """params.yaml's values over the presets."""
    return laid_over(presets(root), raw)
