"""Why a stage is stale, in words: which parameters, code and inputs have changed since its recorded result.

A reason is (order, text); the plan shows the reasons of the lowest order first.
"""

from __future__ import annotations

from typing import Any

from flows.graph import codelock, dvc_api, dvc_content
from flows.graph.stage_records import flatten

Reason = tuple[int, str]


def removed_inputs(stage: Any, lock: dict[str, Any] | None) -> tuple[str, ...]:
    """Returns notes on recorded inputs and parameters that dvc.yaml no longer declares."""
    if lock is None:
        return ()
    have = {dep.def_path for dep in stage.deps if not dvc_api.is_params(dep)}
    removed = [dep["path"] for dep in lock.get("deps", []) if dep["path"] not in have]
    named = {dep.def_path: set(dep.params) for dep in stage.params}
    for path, values in lock.get("params", {}).items():
        removed += [f"{path}:{key}" for key in values if key not in named.get(path, set())]
    return tuple(
        f"no longer depends on {name}, which made the recorded result; DVC does not notice, --force reruns"
        for name in removed
    )


def param_reasons(dep: Any, lock: dict[str, Any] | None, files: dict[str, Any]) -> list[Reason]:
    """Returns the reasons by changed parameters, and sets the dependency's hash to their present values.
    `files`: parsed parameter files by absolute path.
    """
    try:
        now = dvc_content.params_hash(dep, files)
    except dvc_api.dvc_error() as error:
        return [(1, f"parameter: {error}")]
    old, new = flatten(dep.hash_info.value or {}), flatten(now.value)
    dvc_content.set_hash(dep, now)
    if lock is None:
        return []
    changed = [
        key
        for key in sorted(old.keys() | new.keys())
        if key not in old or key not in new or old[key] != new[key]
    ]
    if not dep.def_path.endswith(codelock.CODE_LOCK):
        return [
            (1, f"param {key} {old.get(key, '(absent)')!r} -> {new.get(key, '(absent)')!r}")
            for key in changed
        ]
    # An empty mapping that is filled, or emptied, is told by its keys.
    shown = [key for key in changed if not any(other.startswith(f"{key}.") for other in changed)]
    # of a choice of another kind the kind is told, not the options that it has and the other has not
    kinds = {key.removesuffix("kind") for key in shown if key.endswith(".kind")}
    shown = [
        key for key in shown if key.endswith(".kind") or not any(key.startswith(choice) for choice in kinds)
    ]
    return [_code_reason(key, key in old, key in new, old.get(key), new.get(key)) for key in shown]


def data_reason(dep: Any, content: Any, predicted: bool) -> str:
    """Returns the reason that an input changed, with the changed files of a folder, or with both digests."""
    old = dep.hash_info
    files = dvc_content.tree_changes(dep, old) if content.isdir and old.isdir and not predicted else []
    return f"{dep.def_path} changed" + (
        f" ({', '.join(files)})" if files else f" ({old.value[:8]} -> {content.value[:8]})"
    )


def _code_reason(key: str, was_present: bool, is_present: bool, old: Any, new: Any) -> Reason:
    _, _, name = key.partition(f".{codelock.SETTINGS}.")
    if name:
        shown = [
            repr(value) if present else "'(absent)'"
            for value, present in ((old, was_present), (new, is_present))
        ]
        return 1, f"param {name} {' -> '.join(shown)}"
    _, _, name = key.partition(".modules.")
    if name:
        change = "changed" if was_present and is_present else "is new" if is_present else "is gone"
        return 2, f"code {name} {change}"
    _, _, name = key.partition(".environment.")
    if name:
        return 2, f"environment {name} {old or 'unused'} -> {new or 'unused'}"
    _, _, name = key.partition(".sources.")
    if name:
        change = "changed" if was_present and is_present else "is new" if is_present else "is no longer taken"
        return 2, f"source {name} {change}"
    return 2, f"{key.rsplit('.', 1)[-1]} {old} -> {new}"
