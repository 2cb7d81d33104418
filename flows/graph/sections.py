"""Sections of params.yaml whose members are laid over what they share: `rl.grpo` over `rl.common`, `dpo.runs.dpo` over `dpo.common`.

Which ones dvc.yaml says: a stage's params name first what is shared, then its own. The stage gets both and lays them itself
(`pipelines.settings.laid_over`); here the same is done for the check of the whole file.
"""

from __future__ import annotations

from typing import Any

from flows.graph.references import at, overlays
from pipelines.settings import laid_over

Path = tuple[str, ...]

NOT_METHODS = ("methods", "common")  # keys of the section rl that are no presets


def below(raw: Any, members: Path) -> dict[str, Any]:
    """What the members at `members` are laid over, merged."""
    merged: dict[str, Any] = {}
    for layer in overlays()[members]:
        value = at(raw, layer)
        merged = laid_over(merged, value) if isinstance(value, dict) else merged
    return merged


def presets(raw: Any) -> list[str]:
    """Methods of the section rl, with a stage or without."""
    section = at(raw, ("rl",))
    return [str(name) for name in section if name not in NOT_METHODS] if isinstance(section, dict) else []


def with_members_laid(raw: Any) -> Any:
    """A copy of the raw file in which every run and round holds what it shares too; `rl` lays its presets itself."""
    if not isinstance(raw, dict):
        return raw
    result = dict(raw)
    for path in overlays():
        found = at(raw, path)
        if path == ("rl",) or not isinstance(found, dict):
            continue
        base, (section, key) = below(raw, path), path
        members = {name: laid_over(base, value) if isinstance(value, dict) else value for name, value in found.items()}
        result[section] = {**result[section], key: members}
    return result
