"""presets.yaml: presets by name, which params.yaml need not repeat.

It holds sections of params.yaml that lie below it: a run may name any of them, and params.yaml changes or
adds what it says itself. What a run uses counts with the run (flows/graph/codelock.py), so a preset that no
run names makes nothing stale.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.graph.families import DVC_YAML, at, families
from flows.graph.params_file import ParamsError, read_yaml
from pipelines.settings import ROOT, laid_over

PRESETS_FILE = "presets.yaml"


def presets(root: Path | None = None) -> dict[str, Any]:
    """Returns the content of presets.yaml; empty where the project has neither that file nor a dvc.yaml.
    Raises ParamsError where it is missing.
    """
    path = (root or ROOT) / PRESETS_FILE
    if not path.exists() and (root or ROOT).joinpath(DVC_YAML).exists():
        raise ParamsError([f"{path}: not found; bring it back with `git checkout {PRESETS_FILE}`"])
    return read_yaml(path) if path.exists() else {}


def with_presets(raw: dict[str, Any], root: Path | None = None) -> dict[str, Any]:
    """Returns params.yaml's values laid over the presets."""
    return laid_over(presets(root), raw)


def without_spare_presets(raw: dict[str, Any], root: Path | None = None) -> dict[str, Any]:
    """Returns the values without the presets that no run names."""
    for family in families(root):
        for setting, sections in family.presets.items():
            runs = at(raw, family.over)
            named = {at(run, (setting,)) for run in runs.values()} if isinstance(runs, dict) else set()
            for section in sections:
                if isinstance(runs, dict) and isinstance(presets := at(raw, section), dict):
                    used = {name: value for name, value in presets.items() if name in named}
                    raw = _with(raw, section, used)
    return raw


def _with(raw: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    inner = value if len(path) == 1 else _with(raw[path[0]], path[1:], value)
    return {**raw, path[0]: inner}
