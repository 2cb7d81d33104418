"""Which stage makes which model folder, read from the raw parameters, and what each is made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flows.graph.sections import NOT_METHODS, at

POLICY_RUNS = ("sft_safe", "dpo", "ppo_rm")  # sections whose `runs` are models that answer
SCORING_RUNS = ("reward_model", "cost_model")  # whose `runs` are models that score answers


@dataclass(frozen=True)
class Made:
    """A model folder: the key that declares it, the stage that makes it, and whether it answers (or scores answers)."""

    name: str
    key: str
    stage: str
    answers: bool = True


def mapping(raw: Any, *path: str) -> dict[str, Any]:
    """The mapping at a path; empty where the file holds none (its check says so)."""
    value = at(raw, path)
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def names(raw: Any, *path: str) -> list[str]:
    """The names in the list or the keys of the mapping at a path."""
    value = at(raw, path)
    return [str(name) for name in value] if isinstance(value, (list, dict)) else []


def presets(raw: Any) -> list[str]:
    """Methods of the section rl, with a stage or without."""
    return [name for name in names(raw, "rl") if name not in NOT_METHODS]


def made(raw: Any) -> Iterator[Made]:
    """Every model folder that a stage makes, in the order of the graph; a name may come twice, which `contradictions` refuses."""
    yield Made("base", "base", "base")
    yield Made("sft", "sft", "sft")
    for section in (*SCORING_RUNS, *POLICY_RUNS):
        for run in names(raw, section, "runs"):
            yield Made(run, f"{section}.runs.{run}", f"{section}@{run}", section in POLICY_RUNS)
    for number in names(raw, "dpo_iter", "rounds"):
        yield Made(f"dpo_iter_{number}", f"dpo_iter.rounds.{number}", f"dpo_iter@{number}")
    for run in names(raw, "rlvr_start", "runs"):
        yield Made(run, f"rlvr_start.runs.{run}", f"rlvr_start@{run}")
    for run in names(raw, "verifier", "runs"):
        yield Made(run, f"verifier.runs.{run}", f"verifier@{run}", False)
    for run in names(raw, "rlvr", "runs"):
        yield Made(f"rlvr_{run}", f"rlvr.runs.{run}", f"rlvr@{run}")
    for method in names(raw, "rl", "methods"):
        yield Made(method, f"rl.{method}", f"rl@{method}")
