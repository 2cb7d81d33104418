"""Synthetic results that look like a real run's: the files that the report reads, with figures that hang
together.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from flows.graph import families

SUBJECTS = ("chain", "clock", "largest", "money")
SKILL = {"base": 0.02, "sft": 0.39, "ppo": 0.66, "grpo": 0.71, "dapo": 0.76, "spo_tree": 0.69}
SAMPLES = {"ppo": 512, "grpo": 512, "dapo": 900, "spo_tree": 700}  # responses per iteration
QUESTIONS = {
    "chain": ("Compute 7*8-14+9 mod 10.", "7*8=56\n56-14=42\n42+9=51\n51 mod 10=1\n#### 1", "1"),
    "clock": (
        "It is 10:50. What time is it 85 minutes later?",
        "10:50 + 60 min = 11:50\n11:50 + 25 min = 12:15\n#### 12:15",
        "12:15",
    ),
    "largest": ("Which is largest: 14+9, 8*3, 30-5?", "14+9=23\n8*3=24\n30-5=25\n#### 25", "25"),
    "money": (
        "Ann has 20 coins, buys 3 pens at 4 each and finds 5. How many has she?",
        "3*4=12\n20-12=8\n8+5=13\n#### 13",
        "13",
    ),
}


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval, written out here so that the tests do not check the report against itself."""
    z, share = 1.959963984540054, right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return middle - half, middle + half


def accuracy(right: int, n: int, errors: int = 0) -> dict[str, Any]:
    low, high = wilson(right, n) if n else (None, None)
    return {
        "n": n,
        "right": right,
        "errors": errors,
        "accuracy": right / n if n else None,
        "low": low,
        "high": high,
    }


def runs(methods: Iterable[str]) -> dict[str, Any]:
    """Runs of presets on the exam."""
    return {name: {"method": name, "start": "sft", "data": "exam", "judge": "none"} for name in methods}


def write(
    root: Path,
    methods: Sequence[str] = ("grpo",),
    models: Sequence[str] = ("sft", "grpo"),
    problems: int = 400,
    iterations: int = 120,  # of grpo; the others have as many as give about the same tokens
    levels: bool = True,
) -> dict[str, Any]:
    """Make `metrics`, `curves` and `samples` below `root`; returns the parameters that go with them."""
    _put(
        root / "metrics/corpus/exam.json",
        {
            "corpus": "exam",
            "sources": {"exam": {"read": 17, "bad": 0, "reasons": {}, "first_bad": []}},
            "duplicates": {"exact": 312, "near": 41},
            "train_in_heldout": {"key": 17, "text": 0},
            "records": {"sft": 4000, "rl": 6000, "heldout": problems},
            "subjects": {
                split: dict.fromkeys(SUBJECTS, count // 4)
                for split, count in (("sft", 4000), ("rl", 6000), ("heldout", problems))
            },
            "prompt_tokens": {split: {"mean": 13.47, "max": 20} for split in ("sft", "rl", "heldout")},
            "tokenizer": {"kind": "bpe", "vocab_size": 64},
        },
    )
    draw = random.Random(0)
    _lines(root / "curves/sft.jsonl", _supervised(draw))
    _put(root / "metrics/train/sft.json", {"steps": 1000, "tokens": 1843200, "final_loss": 0.4127})
    for method in methods:
        count = iterations * 512 // SAMPLES.get(method, 512)
        rows = _policy(random.Random(f"curve {method}"), method, count)
        _lines(root / f"curves/{method}.jsonl", rows)
        sampled = sum(row.get("sampled_tokens", 0) for row in rows)
        _put(
            root / f"metrics/train/{method}.json",
            {
                "iterations": count,
                "updates": 2 * count,
                "sampled_tokens": sampled,
                "entropy": 0.0714,
                "method": words(method),
            },
        )
    for model in models:
        rows = _answers(random.Random(f"answers {model}"), model, problems)
        _lines(root / f"samples/{model}.jsonl", rows)
        _put(root / f"metrics/evaluate/{model}.json", _evaluation(model, rows, levels))
    return {
        "stages": families.reported(),
        "sft.runs": {"sft": {"start": "base", "data": "exam"}},
        "rl.runs": runs(methods),
        "evaluate.runs": evaluations(models),
    }


def evaluations(models: Iterable[str]) -> dict[str, Any]:
    """Of models on the exam."""
    return {name: {"model": name, "data": "exam"} for name in models}


def _put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1), "utf-8")


def _lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def _supervised(draw: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "step": step,
            "loss": 0.42 + 3.4 * math.exp(-step / 90) + draw.gauss(0, 0.03),
            "lr": 3e-3 * min(1, step / 50),
            "grad_norm": 0.6 + draw.random() * 0.3,
        }
        for step in range(1, 1001, 5)
    ]


def _policy(draw: random.Random, method: str, iterations: int) -> list[dict[str, Any]]:
    """A row before training, and one per iteration with the figures that this kind of method logs."""
    skill, rows = SKILL.get(method, 0.6), [{"step": 0, "validation_greedy": 0.4, "validation_sampled": 0.35}]
    for step in range(1, iterations + 1):
        done = 1 - math.exp(-3 * step / iterations)
        length = 10.6 + 6.5 * done + draw.gauss(0, 0.4)
        row = {
            "step": step,
            "reward": 0.37 + (skill - 0.4) * done + draw.gauss(0, 0.025),
            "entropy": 0.31 - 0.24 * done + draw.gauss(0, 0.008),
            "length": length,
            "sampled_tokens": int(SAMPLES.get(method, 512) * length),
            "kept_groups": 0.7 - 0.3 * done + draw.gauss(0, 0.03),
            "kept_rows": 0.7 - 0.3 * done + draw.gauss(0, 0.03),
            "kept_tokens": 0.2 if method.startswith("spo") else 1.0,
            "clip_fraction": 0.02 + draw.random() * 0.02,
            "mismatch": 2e-7 + draw.random() * 1e-7,
            "grad_norm": 0.5 + draw.random() * 0.4,
            "updates": 2,
        }
        if method.startswith("ppo"):
            row |= {
                "value_loss": 0.45 - 0.1 * done + draw.gauss(0, 0.02),
                "explained_variance": 0.3 * done + draw.gauss(0, 0.03),
            }
            row["kl"] = 0.09 * done + abs(draw.gauss(0, 0.004))
        if method == "spo_tree":
            row |= {"replay_size": 300.0 + draw.randrange(400), "replay_age": 1.5 + draw.random()}
        if method in ("dapo", "forking_tokens"):
            row |= {"refill_rounds": draw.choice((1, 2, 2, 3)), "refill_missing": 0}
        if method.endswith("_cov"):
            row |= {
                "cov_likely_good": 0.1,
                "cov_likely_bad": 0.0,
                "cov_rare_good": 0.1 * done,
                "cov_rare_bad": 0.9 - 0.1 * done,
            }
        if step % 10 == 0:
            row["validation_greedy"] = round(0.40 + (skill - 0.38) * done + draw.gauss(0, 0.012), 4)
            row["validation_sampled"] = round(0.39 + (skill - 0.44) * done + draw.gauss(0, 0.012), 4)
            row.setdefault("kl", 0.08 * done + abs(draw.gauss(0, 0.004)))
        rows.append(row)
    return rows


def words(method: str) -> dict[str, str]:
    tree = method == "spo_tree"
    return {
        "reward": "final_answer",
        "sampler": "tree, branching 4-3-2, segment 6" if tree else "flat, samples 8",
        "prompts": "64",
        "credit": "segment_tree, spread none" if tree else "group, spread sample",
        "mask": "probability, below 0.9" if tree else "everything",
        "objective": "clip, low 0.2, high 0.2",
        "KL": "reward, 0.02 k1" if method == "ppo" else "none",
        "updates": "2",
        "also": "replay" if tree else "",
    }


def _answers(draw: random.Random, model: str, problems: int) -> list[dict[str, Any]]:
    rows = []
    for index in range(problems):
        subject = SUBJECTS[index % len(SUBJECTS)]
        level = 1 + index // len(SUBJECTS) % 3
        prompt, working, answer = QUESTIONS[subject]
        for decoding, penalty in (("greedy", 0.0), ("sampled", 0.06)):
            right = (
                draw.random()
                < SKILL.get(model, 0.5) - penalty + 0.12 * (2 - level) + 0.06 * SUBJECTS.index(subject) - 0.09
            )
            text = (
                working
                if right
                else (
                    f"#### {draw.randrange(9)}0"
                    if model == "sft"
                    else working.rpartition("\n")[0] + "\n#### 90"
                )
            )
            rows.append(
                {
                    "id": f"exam-{index:04d}",
                    "subject": subject,
                    "level": level,
                    "prompt": prompt,
                    "answer": answer,
                    "text": text,
                    "ids": [],
                    "verdict": "right" if right else "wrong",
                    "reason": "" if right else "another answer",
                    "decoding": decoding,
                }
            )
    return rows


def _evaluation(model: str, rows: list[dict[str, Any]], levels: bool) -> dict[str, Any]:
    def counted(key: str | None = None, value: Any = None) -> dict[str, Any]:
        found = {}
        for decoding in ("greedy", "sampled"):
            chosen = [
                row for row in rows if row["decoding"] == decoding and (key is None or row[key] == value)
            ]
            found[decoding] = accuracy(sum(row["verdict"] == "right" for row in chosen), len(chosen))
        return found

    evaluation = {
        "model": model,
        "corpus": "exam",
        "settings": {"temperature": 1.0, "samples_per_problem": 1, "max_new_tokens": 64},
        "heldout": counted(),
        "by_subject": {subject: counted("subject", subject) for subject in SUBJECTS},
        "lengths": {"greedy": {"mean": 15.7, "p95": 31.0}, "sampled": {"mean": 14.9, "p95": 32.0}},
        "entropy": 0.0714 if model != "sft" else 0.3025,
        "finished": 0.9925,
    }
    if levels:
        evaluation["by_level"] = {str(level): counted("level", level) for level in (1, 2, 3)}
    return evaluation
