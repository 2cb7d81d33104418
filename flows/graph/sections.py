"""Sections of params.yaml whose members are laid over what they share: `rl.grpo` over `rl.common`, `dpo.runs.dpo` over `dpo.common`.

A stage gets both as params and lays them itself (`pipelines.settings.laid_over`); here the same is done for the check of the whole file.
"""

from __future__ import annotations

from typing import Any

from pipelines.settings import laid_over

Path = tuple[str, ...]

NOT_METHODS = ("methods", "common")  # keys of the section rl that are no presets

SHARED: dict[Path, tuple[Path, ...]] = {
    ("rl",): (("rl", "common"),),
    **{(name, "runs"): ((name, "common"),) for name in ("reward_model", "cost_model", "sft_safe", "dpo", "rlvr_start", "verifier")},
    ("dpo_iter", "rounds"): (("dpo_iter", "common"),),
    ("ppo_rm", "runs"): (("rl", "common"), ("ppo_rm", "common")),
    ("rlvr", "runs"): (("rl", "common"), ("rlvr", "common")),
}
"""Where members stand -> what each is laid over, the lowest first."""


def at(raw: Any, path: Path) -> Any:
    """The value at a path of nested mappings; None where there is none."""
    for part in path:
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


def below(raw: Any, members: Path) -> dict[str, Any]:
    """What the members at `members` are laid over, merged."""
    merged: dict[str, Any] = {}
    for layer in SHARED[members]:
        value = at(raw, layer)
        merged = laid_over(merged, value) if isinstance(value, dict) else merged
    return merged


def with_members_laid(raw: Any) -> Any:
    """A copy of the raw file in which every run and round holds what it shares too; `rl` lays its presets itself."""
    if not isinstance(raw, dict):
        return raw
    result = dict(raw)
    for path in SHARED:
        found = at(raw, path)
        if path == ("rl",) or not isinstance(found, dict):
            continue
        base, (section, key) = below(raw, path), path
        members = {name: laid_over(base, value) if isinstance(value, dict) else value for name, value in found.items()}
        result[section] = {**result[section], key: members}
    return result
