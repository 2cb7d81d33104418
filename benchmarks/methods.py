"""What each method of params.yaml makes of the same start: equal budgets of sampled tokens, several seeds,
one table with intervals.

    python -m benchmarks.methods --folder F [--methods ppo grpo spo_tree] [--seeds 0 1 2] [--tokens 800000]
    [--jobs 2] [--set KEY=VALUE]

Each seed has its own corpus, base and SFT model; every method starts from that seed's SFT model, one thread
each. Finished parts of F are kept, so that a table grows. `--split validation` measures on validation
problems, to choose settings by; held-out problems are for the end. `--set rl.methods.dapo.prompts=32` changes
a setting; `--label dapo:half` under another name, so that variants stand beside each other.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.embedded_learning import override, pipeline, run_stage  # noqa: E402
from flows.graph.params_file import read_yaml  # noqa: E402
from flows.graph.presets import with_presets  # noqa: E402
from flows.graph.sections import with_members_laid  # noqa: E402

# Student, by number of seeds
T_975 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


def prepare(folder: Path, seed: int, params: dict[str, Any]) -> None:
    """Corpus, base and SFT of one seed in `folder`, where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    if not Path("raw").exists():
        Path("raw").symlink_to(ROOT / "raw")
    params["identity"]["seed"] = seed
    evaluate = params["evaluate"] | {"runs": {"sft": {"model": "sft", "data": "exam"}}}
    pipeline(params | {"evaluate": evaluate}, ("corpus", "base", "sft", "evaluate"))


def train(folder: Path, seed: int, label: str, method: str, params: dict[str, Any], tokens: int) -> None:
    """One method from the seed's SFT model, and its evaluation, in `folder`/`label`."""
    here = folder / label
    here.mkdir(parents=True, exist_ok=True)
    os.chdir(here)
    for name in ("data", "models/sft"):
        Path(name).parent.mkdir(exist_ok=True)
        if not Path(name).exists():
            Path(name).symlink_to(folder / name)
    corpus = "exam"
    records = f"data/{corpus}/records"
    common = {"identity.seed": seed}
    run = {"method": method, "start": "sft", "data": corpus, "judge": "none"}
    run |= {"token_budget": tokens, "iterations": 100_000, "validation_every": 0}
    evaluation = {method: {"model": method, "data": corpus}}
    params = with_members_laid(
        params
        | {
            "rl": params["rl"] | {"runs": {method: run}},
            "evaluate": params["evaluate"] | {"runs": evaluation},
        }
    )
    outs = [f"models/{method}/model", f"curves/{method}.jsonl", f"metrics/train/{method}.json"]
    execution = params["execution"] | {"checkpoint_period_s": 1e9}
    started = time.monotonic()
    run_stage(
        f"rl@{method}",
        common | {f"rl.runs.{method}": params["rl"]["runs"][method]},
        ["models/sft/model", records],
        outs,
        execution,
    )
    seconds = time.monotonic() - started
    outs = [f"metrics/evaluate/{method}.json", f"samples/{method}.jsonl"]
    settings = common | {f"evaluate.runs.{method}": params["evaluate"]["runs"][method]}
    run_stage(f"evaluate@{method}", settings, [f"models/{method}/model", records], outs, execution)
    rows = [json.loads(line) for line in Path(f"curves/{method}.jsonl").read_text("utf-8").splitlines()]
    summary = {"label": label, "method": method, "seed": seed, "seconds": seconds} | facts(rows)
    summary |= {"evaluation": json.loads(Path(outs[0]).read_text("utf-8"))}
    Path("summary.json").write_text(json.dumps(summary, indent=1), "utf-8")


def facts(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Means over the last tenth of a run, and its totals."""
    tail = rows[-max(1, len(rows) // 10) :]
    found = {name: statistics.fmean(row[name] for row in tail) for name in ("entropy", "length", "reward")}
    middle = rows[len(rows) // 2]
    return found | {
        "entropy_half": middle["entropy"],
        "iterations": len(rows),
        "updates": sum(row.get("updates", 0) for row in rows),
        "tokens": sum(row["sampled_tokens"] for row in rows),
    }


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval over seeds; not a number for one seed."""
    if len(values) < 2:
        return values[0], math.nan
    return statistics.fmean(values), T_975.get(len(values), 1.96) * statistics.stdev(values) / math.sqrt(
        len(values)
    )


def table(folder: Path, seeds: list[int], labels: list[str]) -> str:
    """Markdown: gains over SFT in points by seed and their mean with a 95 % interval, entropy, length,
    updates.
    """
    lines = [
        "| method | greedy by seed (gain) | mean gain greedy | mean gain sampled | entropy half / end | "
        "length | updates | s |"
    ]
    lines.append("|---" * 8 + "|")
    before = {
        seed: json.loads((folder / f"seed-{seed}/metrics/evaluate/sft.json").read_text("utf-8"))["heldout"]
        for seed in seeds
    }
    for label in labels:
        found = [(seed, folder / f"seed-{seed}/{label}/summary.json") for seed in seeds]
        runs = [(seed, json.loads(path.read_text("utf-8"))) for seed, path in found if path.exists()]
        if not runs:
            continue
        gains = {
            how: [
                100 * (run["evaluation"]["heldout"][how]["accuracy"] - before[seed][how]["accuracy"])
                for seed, run in runs
            ]
            for how in ("greedy", "sampled")
        }
        shown = [
            f"{100 * run['evaluation']['heldout']['greedy']['accuracy']:.1f} ({gain:+.1f})"
            for (_, run), gain in zip(runs, gains["greedy"], strict=True)
        ]
        means = ["{:+.1f} ± {:.1f}".format(*interval(gains[how])) for how in ("greedy", "sampled")]
        figures = {
            name: statistics.fmean(run[name] for _, run in runs)
            for name in ("entropy_half", "entropy", "length", "updates", "seconds")
        }
        lines.append(
            f"| {label} | {', '.join(shown)} | {means[0]} | {means[1]} | {figures['entropy_half']:.3f} / "
            f"{figures['entropy']:.3f} "
            f"| {figures['length']:.1f} | {figures['updates']:.0f} | {figures['seconds']:.0f} |"
        )
    start = ", ".join(
        f"{100 * before[seed]['greedy']['accuracy']:.1f} / {100 * before[seed]['sampled']['accuracy']:.1f}"
        for seed in seeds
    )
    return "\n".join([f"SFT greedy / sampled by seed {seeds}: {start}", "", *lines])


def main() -> None:

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True)
    parser.add_argument("--methods", nargs="+", help="presets of params.yaml; default: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tokens", type=int, default=800_000, help="sampled tokens of each run")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, one thread each")
    parser.add_argument("--set", dest="edits", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--label", help="METHOD:NAME, the name of a variant of one method")
    parser.add_argument("--split", choices=("heldout", "validation"), default="heldout")
    parser.add_argument("--again", action="store_true", help="run anew what is there")
    parser.add_argument("--one", nargs=3, metavar=("SEED", "LABEL", "METHOD"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    params = override(with_presets(read_yaml(ROOT / "params.yaml"), ROOT), options.edits)
    params["execution"]["threads"] = 1
    folder = Path(options.folder).resolve()
    if options.one:
        seed, label, method = options.one
        if label == "sft":
            prepare(folder / f"seed-{seed}", int(seed), params)
            if options.split == "validation":  # the same path for both splits
                records = folder / f"seed-{seed}/data/{params['train']['corpus']}/records"
                shutil.copyfile(records / "validation.jsonl", records / "heldout.jsonl")
                shutil.rmtree(folder / f"seed-{seed}/metrics/evaluate", ignore_errors=True)
                prepare(folder / f"seed-{seed}", int(seed), params)
        else:
            train(folder / f"seed-{seed}", int(seed), label, method, params, options.tokens)
        return
    methods = options.methods or list(params["rl"]["presets"])
    named, _, label = (options.label or "").partition(":")
    labels = {method: label if method == named else method for method in methods}

    def child(seed: int, label: str, method: str) -> None:
        where = folder / f"seed-{seed}"
        if (where / label / "summary.json").exists() and not options.again:
            return
        where.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "benchmarks.methods",
            "--folder",
            str(folder),
            "--tokens",
            str(options.tokens),
            "--split",
            options.split,
        ]
        command += [part for edit in options.edits for part in ("--set", edit)]
        with open(where / f"{label}.log", "w", encoding="utf-8") as log:
            done = subprocess.run(
                [*command, "--one", str(seed), label, method],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
        print(
            f"seed {seed} {label}: {'done' if done.returncode == 0 else f'FAILED, see {log.name}'}",
            flush=True,
        )

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        list(
            pool.map(
                lambda seed: child(seed, "sft", "sft"), [s for s in options.seeds if not _prepared(folder, s)]
            )
        )
        list(
            pool.map(
                lambda job: child(*job),
                [(seed, labels[method], method) for method in methods for seed in options.seeds],
            )
        )
    print(table(folder, options.seeds, [labels[method] for method in methods]))


def _prepared(folder: Path, seed: int) -> bool:
    return (folder / f"seed-{seed}/metrics/evaluate/sft.json").exists()


if __name__ == "__main__":
    main()
