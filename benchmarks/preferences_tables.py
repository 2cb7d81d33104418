"""Tables of benchmarks/preferences.py: figures by seed, means with 95 % intervals over seeds, and the
orderings of dpo_vs_ppo.md 8.8 beside ours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.methods import interval

# seed -> {"models": {name: figures}, "reward": {name: report}, "wins": [matches], "rounds": {name: counts}}
Found = dict[str, Any]

ASSESSED = {
    "accuracy": ("accuracy", "share"),
    "reward": ("reward", "mean"),
    "cost": ("cost", "mean"),
    "safe": ("safety", "rule", "share"),
    "safe_by_cost": ("safety", "cost", "share"),
    "kl": ("kl", "sequence", "mean"),
    "degenerate": ("degenerate", "share"),
    "outside": ("out_of_distribution", "share"),
    "implicit": ("implicit", "accuracy", "share"),
    "length": ("length",),
}
RATES = {"greedy", "sampled", "accuracy", "safe", "safe_by_cost", "degenerate", "outside", "implicit"}


class Ordering(NamedTuple):
    """A part of a claim: in the paper `higher` has more of `measure` than `lower`, or at least as much."""

    claim: str
    paper: str
    higher: str
    lower: str
    measure: str
    at_least: bool = False


CLAIMS = [
    Ordering("C1", "DPO from SFT is safer than SFT (55.4 over 41.6 %)", "dpo_far", "sft", "safe"),
    Ordering("C1", "… and less helpful (-4.19 under -2.62)", "sft", "dpo_far", "accuracy"),
    Ordering("C1", "SFT(Safe) before DPO: safer (71.8)", "dpo_near", "dpo_far", "safe"),
    Ordering("C1", "+ filter U: safer (80.8)", "dpo_safe", "dpo_near", "safe"),
    Ordering("C1", "+ filter U: more helpful (2.46 over -1.62)", "dpo_safe", "dpo_near", "accuracy"),
    Ordering("C1", "+ filter U+S: safer (95.8)", "dpo_mixed", "dpo_safe", "safe"),
    Ordering("C1", "+ filter U+S: helpfulness collapses (-2.86)", "dpo_safe", "dpo_mixed", "accuracy"),
    Ordering("C2", "round 1 safer than its start (86.7)", "dpo_iter_11", "sft_safe", "safe"),
    Ordering("C2", "round 2 safer than round 1 (99.7)", "dpo_iter_12", "dpo_iter_11", "safe"),
    Ordering(
        "C2", "its helpfulness stays below PPO's (-3.27 under 1.69)", "ppo_far", "dpo_iter_12", "accuracy"
    ),
    Ordering(
        "C3",
        "+ advantage norm at least baseline (0.716 / 0.706)",
        "ppo_rm_norm",
        "ppo_rm_naive",
        "greedy",
        True,
    ),
    Ordering("C3", "+ large batch at least that (0.716)", "ppo_rm_large", "ppo_rm_norm", "greedy", True),
    Ordering("C3", "+ EMA reference at least that (0.718)", "ppo_rm", "ppo_rm_large", "greedy", True),
    Ordering("C3", "baseline PPO above SFT (HH; on APPS below)", "ppo_rm_naive", "sft", "greedy"),
    Ordering("C4", "DPO above SFT (0.611 / 0.532)", "dpo", "sft", "greedy"),
    Ordering("C4", "DPO-Iter above DPO (0.678)", "dpo_iter_3", "dpo", "greedy"),
    Ordering("C4", "PPO above DPO-Iter (0.718)", "ppo_rm", "dpo_iter_3", "greedy"),
]
UNSEEN = [
    (
        "C5",
        "APPS: DPO-Iter below SFT, PPO above it from 13B up",
        "cannot say: no programs, one size of model",
    ),
    (
        "C6",
        "CodeContests: DPO 0 % < DPO-Iter < SFT < PPO",
        "cannot say: no programs, no pairs from elsewhere",
    ),
]
SHIFTS = [("safe", "the safety rate"), ("accuracy", "the pass rate")]


def collect(folder: Path, seeds: Sequence[int], split: str) -> Found:
    """What the finished stages wrote, by seed."""
    found: Found = {}
    for seed in seeds:
        here = folder / f"seed-{seed}" / ("on-validation" if split == "validation" else "")
        models: dict[str, dict[str, Any]] = {}
        for path in sorted((here / "metrics/assess").glob("*.json")):
            whole = json.loads(path.read_text("utf-8"))
            models[path.stem] = {name: _at(whole, keys) for name, keys in ASSESSED.items()}
        for path in sorted((here / "metrics/evaluate").glob("*.json")):
            whole = json.loads(path.read_text("utf-8"))["heldout"]
            models.setdefault(path.stem, {}).update(
                {how: whole[how]["accuracy"] for how in ("greedy", "sampled")}
            )
        reports = {
            path.stem: json.loads(path.read_text("utf-8"))
            for path in sorted((here / "metrics/reward_report").glob("*.json"))
        }
        wins = here / "metrics/wins/checker.json"
        rounds = {
            path.stem: json.loads(path.read_text("utf-8"))
            for path in sorted((here / "metrics/preferences").glob("round_*.json"))
        }
        matches = json.loads(wins.read_text("utf-8"))["matches"] if wins.exists() else []
        found[str(seed)] = {"models": models, "reward": reports, "wins": matches, "rounds": rounds}
    return found


def _at(value: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        value = None if value is None else value[key]
    return value


def tables(found: Found) -> str:
    """All of it as markdown."""
    from benchmarks.preferences import FILTERED, LADDER, PPO_SAFE, ROUNDS, SAFE_ROUNDS

    parts = [
        "Reward models on held-out pairs",
        rewards(found),
        "Accuracy under the exact checker, by seed (gain over SFT in points); implicit: accuracy of the "
        "implicit reward on held-out pairs",
        accuracies(found, ["sft", "dpo", *ROUNDS, *LADDER]),
        "Win / tie / lose under the checker, %, by seed",
        wins(found),
        "Safety: shares of sampled answers in %, by the rule and by the cost model; means over seeds",
        safety(found, ["sft", "sft_safe", *FILTERED, *SAFE_ROUNDS, *PPO_SAFE]),
        "Orderings of dpo_vs_ppo.md 8.8: differences in points by seed, mean with its interval over seeds",
        claims(found),
    ]
    return "\n\n".join(parts)


def rewards(found: Found) -> str:
    lines = ["| model | accuracy by seed [95 %] | mean | margin | ECE |", "|---" * 5 + "|"]
    for name in dict.fromkeys(name for one in found.values() for name in one["reward"]):
        reports = [one["reward"][name] for one in found.values() if name in one["reward"]]
        shown = ", ".join(
            "{share:.3f} [{low:.3f}, {high:.3f}]".format(**report["accuracy"]) for report in reports
        )
        mean = _mean([report["accuracy"]["share"] for report in reports], "{:.3f}")
        margin, ece = (
            _mean(column, "{:.2f}")
            for column in zip(*((r["margin"]["mean"], r["calibration"]["ece"]) for r in reports), strict=True)
        )
        lines.append(f"| {name} | {shown} | {mean} | {margin} | {ece} |")
    return "\n".join(lines)


def accuracies(found: Found, names: Sequence[str]) -> str:
    lines = [
        "| model | greedy by seed | gain greedy | gain sampled | reward | implicit | KL, nats | degenerate | "
        "tokens |",
        "|---" * 9 + "|",
    ]
    for name in names:
        seeds = _with(found, name, "sft", measure="greedy")
        if not seeds:
            continue
        shown = []
        for seed in seeds:
            value, start = (100 * found[seed]["models"][one]["greedy"] for one in (name, "sft"))
            shown.append(f"{value:.1f} ({value - start:+.1f})")
        gains = [_difference(found, name, "sft", how) for how in ("greedy", "sampled")]
        cells = [_mean(gain, "{:+.1f}") if name != "sft" else "" for gain in gains]
        cells += [
            _over(found, name, measure) for measure in ("reward", "implicit", "kl", "degenerate", "length")
        ]
        lines.append(f"| {name} | {', '.join(shown)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def wins(found: Found) -> str:
    lines = ["| first against second | by seed | net |", "|---" * 3 + "|"]
    matches: dict[tuple[str, str], list[Any]] = {}
    for one in found.values():
        for match in one["wins"]:
            matches.setdefault((match["first"], match["second"]), []).append(match)
    for (first, second), rows in matches.items():
        shown = ", ".join(" / ".join(f"{value:.0f}" for value in row["percent"]) for row in rows)
        lines.append(
            f"| {first} against {second} | {shown} | "
            f"{_mean([100 * row['net']['mean'] for row in rows], '{:+.1f}')} |"
        )
    return "\n".join(lines)


def safety(found: Found, names: Sequence[str]) -> str:
    measures = ["safe", "safe_by_cost", "cost", "accuracy", "reward", "kl", "degenerate", "outside"]
    lines = [f"| model | {' | '.join(measures)} |", "|---" * (1 + len(measures)) + "|"]
    for name in names:
        if _with(found, name, measure="safe"):
            lines.append(
                f"| {name} | " + " | ".join(_over(found, name, measure) for measure in measures) + " |"
            )
    return "\n".join(lines)


def claims(found: Found) -> str:
    lines = ["| claim | paper | ours | agrees? |", "|---" * 4 + "|"]
    for one in CLAIMS:
        values = _difference(found, one.higher, one.lower, one.measure)
        if values:
            ours = f"{one.higher} - {one.lower}, {one.measure}: {_shown(values)}"
            lines.append(f"| {one.claim} | {one.paper} | {ours} | {verdict(values, one.at_least)} |")
    lines += [f"| {claim} | {paper} | - | {why} |" for claim, paper, why in UNSEEN]
    for measure, words in SHIFTS:
        dpo, ppo = (_difference(found, f"{how}_near", f"{how}_far", measure) for how in ("dpo", "ppo"))
        if dpo and len(dpo) == len(ppo):
            more = [abs(one) - abs(other) for one, other in zip(dpo, ppo, strict=True)]
            ours = f"shift of DPO {_shown(dpo)}; of PPO {_shown(ppo)}"
            lines.append(
                f"| C7 | a nearer reference moves DPO more than PPO in {words} | {ours} | {verdict(more)} |"
            )
    return "\n".join(lines)


def verdict(differences: Sequence[float], at_least: bool = False) -> str:
    """Whether the paper's sign is there in every seed, in none, or in some; `at_least`: no difference holds
    too.
    """
    holds = [value > 0 or (at_least and value == 0) for value in differences]
    if all(holds):
        low = interval(list(differences))[0] - interval(list(differences))[1]
        return "yes" if low > 0 else "yes, in every seed; the interval over seeds holds 0"
    return f"in {sum(holds)} of {len(holds)} seeds" if any(holds) else "no"


def _shown(values: Sequence[float]) -> str:
    return ", ".join(f"{value:+.1f}" for value in values) + f" ({_mean(values, '{:+.1f}')})"


def _with(found: Found, *names: str, measure: str) -> list[str]:
    """Seeds in which all these models have the measure."""
    return [
        seed
        for seed, one in found.items()
        if all(one["models"].get(name, {}).get(measure) is not None for name in names)
    ]


def _difference(found: Found, first: str, second: str, measure: str) -> list[float]:
    """By seed, in points where it is a rate."""
    scale = 100 if measure in RATES else 1
    models = [found[seed]["models"] for seed in _with(found, first, second, measure=measure)]
    return [scale * (one[first][measure] - one[second][measure]) for one in models]


def _over(found: Found, name: str, measure: str) -> str:
    scale = 100 if measure in RATES else 1
    values = [scale * found[seed]["models"][name][measure] for seed in _with(found, name, measure=measure)]
    return _mean(values, "{:.1f}" if measure in RATES or measure == "length" else "{:.2f}") if values else "-"


def _mean(values: Sequence[float], form: str) -> str:
    if len(values) == 1:
        return form.format(values[0])
    mean, half = interval(list(values))
    return f"{form.format(mean)} ± {form.format(half).lstrip('+')}"
