"""Sections of params.yaml whose members are laid over what they share: `rl.runs.a` over its method's preset,
that over `rl.common`.

Which ones dvc.yaml says: a stage's params name first what is shared, then its own. The stage gets all and
lays them itself (`pipelines.settings.laid_over`); here the same is done for the check of the whole file.
"""

from __future__ import annotations

from pathlib import Path as Folder
from typing import Any

from flows.graph.references import at, overlays, resolved
from pipelines.settings import laid_over

Path = tuple[str, ...]


def below(raw: Any, members: Path, item: Any, root: Folder | None = None) -> dict[str, Any]:
    """What a member at `members`, with its own settings `item`, is laid over, merged; empty for nothing."""
    merged: dict[str, Any] = {}
    for layer in overlays(root).get(members, ()):
        value = at(raw, resolved(layer, item))
        merged = laid_over(merged, value) if isinstance(value, dict) else merged
    return merged


def with_members_laid(raw: Any) -> Any:
    """A copy of the raw file in which every member (run, round, preset) holds what it shares too."""
    if not isinstance(raw, dict):
        return raw
    result = dict(raw)
    for path in overlays():
        found = at(raw, path)
        if not isinstance(found, dict):
            continue
        section, key = path
        members = {
            name: laid_over(below(raw, path, value), value) if isinstance(value, dict) else value
            for name, value in found.items()
        }
        result[section] = {**result[section], key: members}
    return result
