"""What is learnt from preferences on the embedded default, over seeds: reward model, DPO and its rounds, the
ladder of PPO, safety filters.

    python -m benchmarks.preferences --folder F [--seeds 0 1 2] [--split validation] [--only rounds] [--set
    KEY=VALUE] [--json OUT]

recipes/preference_ladder.yaml and the extras below are laid over params.yaml. Each seed has its own corpus,
SFT model, pairs and reward models; one thread a run. Finished stages of F are kept, so that a table grows.
`--split validation` measures on validation problems, to choose settings by; held-out problems are for the
end. The last table sets the orderings of dpo_vs_ppo.md 8.8 beside ours.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import shutil
import signal
import sys
import time
import traceback
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from flows.graph.params_file import read_yaml  # noqa: E402
from flows.graph.presets import with_presets  # noqa: E402
from pipelines.settings import laid_over  # noqa: E402
from tasks.launch import die_with_parent  # noqa: E402

EXTRAS: dict[str, Any] = {
    "reward_model": {"runs": {"reward_safe": {"start": "sft", "data": "exam_safety_all"}}},
    # rounds from SafeSFT against the reward of both labels (dpo_vs_ppo.md 4.2): a chain that params.yaml does
    # not name
    "dpo": {
        "runs": {
            "dpo_iter_11": {"start": "sft_safe", "data": "round_11", "epochs": 2, "validation_every": 0},
            "dpo_iter_12": {"start": "dpo_iter_11", "data": "round_12", "epochs": 2, "validation_every": 0},
        }
    },
    "rl": {
        "runs": {
            "ppo_far": {"method": "ppo_reward_model", "start": "sft", "data": "exam", "judge": "reward_safe"},
            "ppo_near": {
                "method": "ppo_reward_model",
                "start": "sft_safe",
                "data": "exam",
                "judge": "reward_safe",
            },
        }
    },
    "assess": {"graders": {"reward_model": "reward_model"}},
}
SAMPLED_FROM = {11: "sft_safe", 12: "dpo_iter_11"}
ROUNDS = ["dpo_iter_1", "dpo_iter_2", "dpo_iter_3"]
LADDER = ["ppo_rm_naive", "ppo_rm_norm", "ppo_rm_large", "ppo_rm"]
FILTERED = ["dpo_far", "dpo_near", "dpo_safe", "dpo_mixed"]
SAFE_ROUNDS = ["dpo_iter_11", "dpo_iter_12"]
PPO_SAFE = ["ppo_far", "ppo_near"]
HELPFUL = ["sft", "dpo", *ROUNDS, *LADDER]
FROM_SAFE = {
    "sft_safe": "sft",
    **dict.fromkeys(["dpo_near", "dpo_safe", "dpo_mixed", *SAFE_ROUNDS, "ppo_near"], "sft_safe"),
}
CHAINS: dict[str, list[str]] = {
    "dpo": ["dpo"],
    "rounds": ROUNDS,
    **{name: [name] for name in LADDER},
    "filters": FILTERED,
    "safe_rounds": SAFE_ROUNDS,
    **{name: [name] for name in PPO_SAFE},
}
"""Models that one process makes and measures one after the other; what several chains need is made before
them.
"""
MATCHES = [
    ["dpo", "sft"],
    *map(list, zip(ROUNDS, ["sft", *ROUNDS[:-1]], strict=True)),
    ["dpo_iter_3", "dpo"],
    *([name, "sft"] for name in LADDER),
    *map(list, zip(LADDER[1:], LADDER[:-1], strict=True)),
    ["ppo_rm", "dpo"],
    ["ppo_rm", "dpo_iter_3"],
]
MEASURES = ("evaluate", "assess", "reward_report", "wins")


def settings(edits: list[str]) -> dict[str, Any]:
    """params.yaml with the recipe, the extras and the edits over it."""
    import yaml

    from benchmarks.embedded_learning import override

    recipe = ROOT / "recipes/preference_ladder.yaml"
    params = laid_over(
        with_presets(read_yaml(ROOT / "params.yaml"), ROOT), yaml.safe_load(recipe.read_text("utf-8"))
    )
    params = laid_over(params, EXTRAS)
    for number, start in SAMPLED_FROM.items():
        first = params["preferences"]["round_1"]
        own = {"origin": f"models/{start}/model", "judge": "reward_safe", "source": {"draw": number}}
        params["preferences"][f"round_{number}"] = laid_over(first, own)
    models = [name for chain in CHAINS.values() for name in chain]
    measured = ["sft", "sft_safe", *models]
    params["evaluate"]["runs"] = {name: {"model": name, "data": "exam"} for name in measured}
    params["assess"]["models"] = {
        name: {
            "reference": FROM_SAFE.get(name, "sft"),
            "prompts": "exam",
            "data": "exam_pairs" if name in HELPFUL else "exam_safety_all",
        }
        for name in measured
    }
    params["wins"] = {"checker": {"judge": "checker", "matches": MATCHES}}
    params["execution"] |= {"threads": 1, "checkpoint_period_s": 1e9}
    return override(params, edits)


def first_stages() -> list[str]:
    """What the chains share."""
    scorers = ["reward_report@reward_model", "reward_report@reward_safe", "reward_model@cost_model"]
    return [*scorers, *measured(["sft", "sft_safe"])]


def measured(models: list[str]) -> list[str]:
    """The stages that measure each model, one model after the other."""
    return [f"{kind}@{name}" for name in models for kind in ("evaluate", "assess")]


def work(folder: str, seed: int, stages: list[str], params: dict[str, Any], split: str) -> dict[str, float]:
    """Run the stages of one seed in its folder; returns seconds by stage."""
    from benchmarks.stages import Graph

    here = Path(folder) / f"seed-{seed}"
    here.mkdir(parents=True, exist_ok=True)
    sys.stdout = sys.stderr = open(here / f"{stages[-1]}.log", "a", encoding="utf-8", buffering=1)  # noqa: SIM115 (the process's own)
    params = copy.deepcopy(params)
    params["identity"]["seed"] = seed
    graph, seconds = Graph(params), dict[str, float]()
    try:
        os.chdir(here)
        if not Path("raw").exists():
            Path("raw").symlink_to(ROOT / "raw")
        for name in stages:
            measures = name.partition("@")[0] in MEASURES
            if measures and split == "validation":
                for maker in graph.before(name):
                    if maker.partition("@")[0] not in MEASURES:
                        seconds |= graph.run(maker, params["execution"])
                os.chdir(view(here))
            seconds |= graph.run(name, params["execution"])
            os.chdir(here)
    except Exception:
        traceback.print_exc()
        raise
    return seconds


def view(seed: Path) -> Path:
    """A folder beside a seed's own in which the held-out problems and pairs are its validation problems and
    pairs.
    """
    there = seed / "on-validation"
    there.mkdir(exist_ok=True)
    for name in ("models", "raw"):
        if not (there / name).exists():
            (there / name).symlink_to(seed / name)
    for note in (seed / "done").iterdir():
        if note.name.partition("@")[0] not in MEASURES:
            (there / "done").mkdir(exist_ok=True)
            shutil.copyfile(note, there / "done" / note.name)
    for path in sorted((seed / "data").rglob("*")):
        target = there / path.relative_to(seed)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif path.name != "heldout.jsonl":
            shutil.copyfile(path, target)
            if path.name == "validation.jsonl":
                shutil.copyfile(path, target.with_name("heldout.jsonl"))
    for name in ("curves", *(f"metrics/{part}" for part in ("corpus", "preferences", "train"))):
        shutil.copytree(seed / name, there / name, dirs_exist_ok=True)
    return there


def schedule(folder: str, options: argparse.Namespace, params: dict[str, Any]) -> list[str]:
    """Everything over `jobs` processes; returns what failed."""
    chains = {name: chain for name, chain in CHAINS.items() if not options.only or name in options.only}
    failed, started = list[str](), time.monotonic()
    left = {seed: set(chains) for seed in options.seeds}
    waiting = [(seed, "start", first_stages()) for seed in options.seeds]
    running: dict[Future[dict[str, float]], tuple[int, str]] = {}
    with ProcessPoolExecutor(options.jobs, get_context("spawn"), die_with_parent, (signal.SIGKILL,)) as pool:
        while running or waiting:
            while waiting and len(running) < options.jobs:
                seed, title, stages = waiting.pop(0)
                running[pool.submit(work, folder, seed, stages, params, options.split)] = seed, title
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                seed, title = running.pop(future)
                fault = future.exception()
                if fault:
                    failed.append(f"seed {seed} {title}: {fault}")
                took = {} if fault else future.result()
                told = (
                    f"FAILED: {fault}"
                    if fault
                    else ", ".join(f"{name} {value:.0f} s" for name, value in took.items()) or "was there"
                )
                print(f"[{time.monotonic() - started:.0f} s] seed {seed} {title}: {told}", flush=True)
                if fault:
                    continue
                if title == "start":
                    waiting += [(seed, name, measured(chain)) for name, chain in chains.items()]
                    order = ["start", *chains]
                    # what is first of interest first, in every seed
                    waiting.sort(key=lambda job: (order.index(job[1]), job[0]))
                left[seed].discard(title)
                if title in chains and not left[seed] and not options.only:
                    waiting.insert(0, (seed, "wins", ["wins@checker"]))
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, one thread each")
    parser.add_argument("--only", nargs="+", choices=list(CHAINS), help="these parts only")
    parser.add_argument("--set", dest="edits", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--split", choices=("heldout", "validation"), default="heldout")
    parser.add_argument("--json", help="write the figures of every seed here too")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    folder = str(Path(options.folder).resolve())
    failed = schedule(folder, options, settings(options.edits))
    from benchmarks.preferences_tables import collect, tables

    found = collect(Path(folder), options.seeds, options.split)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(tables(found))
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
