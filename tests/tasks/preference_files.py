"""Metrics and curves of the preference branch, made by the functions that make them in a run."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.evaluation.assessment_params import RewardReportParams, WinsParams
from pipelines.evaluation.degenerate import degenerate_rate
from pipelines.evaluation.intervals import mean_of, share_of
from pipelines.evaluation.policy_divergence import kl_from_reference, out_of_distribution
from pipelines.evaluation.reward_accuracy import preference_accuracy
from pipelines.evaluation.theory.experiment import run_theory
from pipelines.evaluation.theory.theory_params import TheoryParams
from pipelines.evaluation.wins import Comparison, Vote, win_tables

QUALITY = {"sft": 0.4, "dpo": 0.5, "dpo_iter_1": 0.55, "dpo_iter_2": 0.6, "ppo_rm": 0.7}
START = {"sft": "sft", "dpo": "sft", "dpo_iter_1": "sft", "dpo_iter_2": "dpo_iter_1", "ppo_rm": "sft"}
SAMPLED = {"reward": 0.25, "accuracy": 0.5, "finished": 1.0, "length": 9.5, "errors": 3}
PROMPTS = [f"p{place}" for place in range(120)]


@dataclass(frozen=True)
class Two:
    id: str
    group: str
    source: str
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]


class Scores:
    name = "checker"

    def vote(self, comparisons: list[Comparison]) -> list[Vote]:
        gaps = [pair.first["score"] - pair.second["score"] for pair in comparisons]
        return [Vote("tie" if not gap else "first" if gap > 0 else "second") for gap in gaps]


def write(root: Path, theory: bool = True) -> None:
    """Files below `metrics` and `curves` of `root`: two sets, two reward models, five assessed models, a
    board, three trained runs.
    """
    for name, kind in (("exam_pairs", "sampled"), ("harmless", "hh")):
        _put(root / f"metrics/preferences/{name}.json", _set(name, kind))
    draw = random.Random(0)
    for name, sources in (("reward_model", ["exam"]), ("reward_hh", ["hh", "xstest"])):
        pairs = [
            Two(f"p{place}", f"g{place // 2}", sources[place % len(sources)], [1], [2], [3])
            for place in range(200)
        ]
        margins = [draw.gauss(0.8, 1.5) for _ in pairs]
        report = preference_accuracy(pairs, margins, [0.0] * len(pairs), RewardReportParams())
        _put(
            root / f"metrics/reward_report/{name}.json",
            {"model": name, "data": "exam_pairs", **report},
        )
    samples = {}
    for name, quality in QUALITY.items():
        rows = [{"id": prompt, "sample": 0, "score": float(draw.random() < quality)} for prompt in PROMPTS]
        samples[name] = rows
        _put(root / f"metrics/assess/{name}.json", _assessment(name, rows, draw))
    matches = [("dpo", "sft"), ("dpo_iter_2", "dpo_iter_1"), ("ppo_rm", "dpo")]
    _put(root / "metrics/wins/checker.json", win_tables(samples, Scores(), WinsParams(matches=matches)))
    for name, keys in (
        ("dpo", ("loss", "accuracy", "margin", "chosen_logprob", "drift")),
        ("reward_model", ("loss", "accuracy", "first_score")),
    ):
        _put(root / f"metrics/train/{name}.json", {"steps": 60})
        lines = [
            {"step": step, **{key: draw.random() / (1 + step / 30) for key in keys}} for step in range(1, 61)
        ]
        (root / "curves").mkdir(exist_ok=True)
        (root / f"curves/{name}.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in lines), "utf-8"
        )
    if theory:
        _put(root / "metrics/dpo_theory/worlds.json", _theory())


@cache
def _theory() -> dict[str, Any]:
    small = TheoryParams(
        seeds=3,
        dpo_steps=60,
        sweep=[20, 40, 60],
        reward_steps=40,
        ppo_iterations=8,
        ppo_samples=64,
        learning_rate=0.01,
    )
    return run_theory(small, 0)


def _set(name: str, kind: str) -> dict[str, Any]:
    return {
        "preferences": name,
        "kind": kind,
        "source": {"read": 900, "bad": 2},
        "pairing": {"no_contrast": 40} if kind == "sampled" else {},
        **({"samples": {"train": SAMPLED}} if kind == "sampled" else {}),
        "removed": {"duplicate": 12, "dual_unsafe": 30},
        "cut": {},
        "classes": {"read": {"mixed": 700}, "train": {"mixed": 600}},
        "pairs": {"train": 700, "validation": 60, "heldout": 96},
        "prompts": {"train": 350, "validation": 30, "heldout": 48},
        "leakage": {"heldout_in_train": 0},
        "chosen_tokens": {"mean": 11.5, "max": 40},
    }


def _assessment(name: str, rows: list[dict[str, Any]], draw: random.Random) -> dict[str, Any]:
    far = 0.0 if name == "sft" else 3.0
    own = [draw.gauss(-8, 2) for _ in rows]
    reference = [value - far * draw.random() for value in own]
    usual = [draw.gauss(-8, 2) for _ in range(500)]
    lengths = [8] * len(rows)
    return {
        "model": name,
        "reference": START[name],
        "data": "exam_pairs",
        "prompts": len(rows),
        "answers": len(rows),
        "length": 8.0,
        "errors": 0,
        "accuracy": share_of([row["score"] for row in rows], PROMPTS),
        "reward": mean_of([row["score"] * 2 - 1 for row in rows], PROMPTS),
        "cost": None,
        "safety": {"cost": None, "rule": share_of([1.0] * 90 + [0.0] * 30, PROMPTS)},
        "kl": kl_from_reference(own, reference, lengths, PROMPTS),
        "out_of_distribution": out_of_distribution(reference, lengths, usual, [8] * 500, PROMPTS),
        "degenerate": degenerate_rate([["empty"]] * 3 + [[]] * (len(rows) - 3), PROMPTS),
        "implicit": None,
    }


def _put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1), "utf-8")
