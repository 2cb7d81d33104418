"""The settings of a rehearsal: those of the run, with steps, rows and models cut."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from flows.rehearsal.tiny import write_tiny
from pipelines.rewards.own.sum_params import SumParams

STEPS = 2  # one before the interruption, one after it
BATCH, PROMPTS, SAMPLES, NEW_TOKENS = 4, 2, 2, 24
ARCHITECTURE = {"hidden_size": 64, "intermediate_size": 128, "layers": 2, "heads": 4, "kv_heads": 2}
EXECUTION: dict[str, Any] = {
    "device": "cpu",
    "dtype": "float32",
    "liger": False,
    "processes": 1,
    "zero_stage": 0,
    "offload": "none",
    "gpus": 0,
    "micro_batch_tokens": 2048,
    "sampler": "local",
    "sample_batch": 64,
    "checkpoint_period_s": 3600.0,
    "offline": True,
}
SPREAD = {"reward": {"kind": "function", "path": "flows.rehearsal.spread:by_text"}}


def cut(raw: dict[str, Any], params: Any, root: Path, tiny: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the values of params.yaml with the cuts of a rehearsal, and what stands for each base model.
    `tiny`: where models are written. Raises SourceError or ValueError where a base model gives none.
    """
    raw = copy.deepcopy(raw)
    stand_ins = {name: _base(raw, params, name, tiny) for name in params.base.runs}
    for family in ("sft", "dpo", "reward_model", "verifier"):
        for name, run in getattr(params, family).runs.items():
            changes: dict[str, Any] = {
                "steps": STEPS,
                "epochs": None,
                "batch_size": min(BATCH, run.batch_size),
            }
            _lay(raw[family]["runs"], name, _known(run, {**changes, "validation_size": 2}))
    for name, run in params.rl.runs.items():
        _lay(raw["rl"]["runs"], name, _rl(run))
    for name, run in params.evaluate.runs.items():
        changes = {"samples": min(SAMPLES, run.samples)} if hasattr(run, "samples") else {}
        _lay(raw["evaluate"]["runs"], name, {**changes, "sampling": _sampling(run.sampling)})
    for name, pairs in params.preferences.items():
        if hasattr(pairs.source, "sampling") and pairs.source.prompts:
            source = {
                "sampling": _sampling(pairs.source.sampling),
                "prompts": {side: min(BATCH, number) for side, number in pairs.source.prompts.items()},
            }
            _lay(raw["preferences"], name, {"source": source})
    raw["execution"] = {**raw.get("execution", {}), **EXECUTION}
    return raw, stand_ins


def _known(run: Any, changes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in changes.items() if key in type(run).model_fields}


def _lay(section: dict[str, Any], name: str, changes: dict[str, Any]) -> None:
    """Lays changes over a member, mappings key by key."""
    member = section[name] = dict(section[name] or {})
    for key, value in changes.items():
        below = member.get(key)
        member[key] = {**below, **value} if isinstance(below, dict) and isinstance(value, dict) else value


def _sampling(sampling: Any) -> dict[str, Any]:
    return {"max_new_tokens": min(NEW_TOKENS, sampling.max_new_tokens)}


def _rl(run: Any) -> dict[str, Any]:
    return _known(
        run,
        {
            "iterations": STEPS,
            "token_budget": None,
            "problems": None,
            "prompts": min(PROMPTS, run.prompts),
            "epochs": 1,
            "updates_per_epoch": 1,
            "validation_size": 2,
            "sampling": _sampling(run.sampling),
            "reward": with_spread(run.reward),
        },
    )


def with_spread(reward: Any) -> dict[str, Any]:
    """Returns a sum of the run's own reward, which is called as it will be, and one by the text."""
    value = reward.model_dump(mode="json")
    own = value["parts"] if isinstance(reward, SumParams) else {"own": {"reward": value}}
    return {"kind": "sum", "parts": {**own, "rehearsal": SPREAD}}


def _base(raw: dict[str, Any], params: Any, name: str, tiny: Path) -> str:
    """Cuts a base model; returns what it is in the rehearsal."""
    run = params.base.runs[name]
    if run.pretrained is None:
        _lay(raw["base"]["runs"], name, {"architecture": {**run.architecture.model_dump(), **ARCHITECTURE}})
        return "2 layers in place of its own"
    words = write_tiny(run.pretrained, run.revision, tiny / name)
    _lay(raw["base"]["runs"], name, {"pretrained": str(tiny / name), "revision": None})
    return words
