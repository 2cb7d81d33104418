"""Does the embedded default learn? Its stages, seed by seed, in a scratch folder, and one markdown table with
95 % intervals.

    python -m benchmarks.embedded_learning --seeds 0 1 2 [--set rl.common.iterations=100] [--keep FOLDER]
    [--stages corpus base sft rl]

The measure: RL at least 10 points above SFT sampled at T = 1 and at least 5 points above it greedy, on
held-out problems, on every seed. Settings are chosen on the validation split (`--split validation`), never on
the held-out one.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from flows.graph.params_file import read_yaml  # noqa: E402
from flows.graph.presets import with_presets  # noqa: E402
from flows.graph.sections import with_members_laid  # noqa: E402
from pipelines.quiet import quiet  # noqa: E402

quiet(offline=True)

from tasks.stage import Spec, Stage  # noqa: E402

STAGES = ("corpus", "base", "sft", "rl", "evaluate")


def run_stage(
    name: str, params: dict[str, Any], inputs: list[str], outs: list[str], execution: dict[str, Any]
) -> float:
    """Run one stage in the current folder, publish its outputs by rename; returns seconds."""
    stage = Stage(
        Spec(
            name,
            "bench",
            f"work/{name}",
            tuple(outs),
            dict.fromkeys(inputs, ""),
            params,
            execution=execution | {"log_period_s": 10.0},
        ),
        interactive=True,
    )
    stage.work.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    import_module(f"tasks.{name.partition('@')[0]}").run(stage)
    seconds = time.monotonic() - started
    for out in outs:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        os.replace(stage.out(out), out)
    return seconds


def pipeline(params: dict[str, Any], stages: tuple[str, ...]) -> dict[str, float]:
    """Run the wanted stages of the default graph in the current folder; returns seconds by stage."""
    params = with_members_laid(params)
    corpus, seconds = "exam", {}
    identity = {"identity.seed": params["identity"]["seed"]}
    records = f"data/{corpus}/records"

    def go(name: str, sections: dict[str, Any], inputs: list[str], outs: list[str]) -> None:
        if name.partition("@")[0] in stages and not all(Path(out).exists() for out in outs):
            seconds[name] = run_stage(name, identity | sections, inputs, outs, params["execution"])

    def own(kind: str, name: str) -> dict[str, Any]:
        return {f"{kind}.runs.{name}": params[kind]["runs"][name]}

    raw = params["corpus"][corpus]["raw"]
    go(
        f"corpus@{corpus}",
        {f"corpus.{corpus}": params["corpus"][corpus]},
        [raw],
        [records, f"metrics/corpus/{corpus}.json"],
    )
    go("base@base", own("base", "base"), [records], ["models/base/model"])
    go(
        "sft@sft",
        own("sft", "sft"),
        ["models/base/model", records],
        ["models/sft/model", "curves/sft.jsonl", "metrics/train/sft.json"],
    )
    runs = {
        name: run
        for name, run in params["rl"]["runs"].items()
        if run["data"] == corpus and run["judge"] == "none"
    }
    for method in runs:
        outs = [f"models/{method}/model", f"curves/{method}.jsonl", f"metrics/train/{method}.json"]
        go(f"rl@{method}", own("rl", method), ["models/sft/model", records], outs)
    for name, run in params["evaluate"]["runs"].items():
        inputs, outs = (
            [f"models/{run['model']}/model", records],
            [f"metrics/evaluate/{name}.json", f"samples/{name}.jsonl"],
        )
        if run["data"] == corpus and Path(inputs[0]).exists():
            go(f"evaluate@{name}", own("evaluate", name), inputs, outs)
    return seconds


def override(params: dict[str, Any], edits: list[str]) -> dict[str, Any]:
    """`--set a.b=value` (YAML values) over a copy of the parameters."""
    import yaml

    params = copy.deepcopy(params)
    for edit in edits:
        key, _, value = edit.partition("=")
        *parents, last = key.split(".")
        section = params
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = yaml.safe_load(value)
    return params


def table(results: dict[int, tuple[dict[str, dict], dict[str, float]]]) -> str:
    """Markdown: a row per seed, run of rl and decoding, accuracy with its interval of SFT and of the run, and
    the gain in points.
    """
    lines = ["| seed | run | decoding | SFT | RL | gain | needed |", "|---|---|---|---|---|---|---|"]
    for seed, (metrics, _) in results.items():
        sft = metrics["sft"]["heldout"]
        for name in (name for name in metrics if name != "sft"):
            for decoding, needed in (("sampled", 10), ("greedy", 5)):
                before, after = sft[decoding], metrics[name]["heldout"][decoding]
                gain = 100 * (after["accuracy"] - before["accuracy"])
                lines.append(
                    f"| {seed} | {name} | {decoding} | {_shown(before)} | {_shown(after)} | {gain:+.1f} | "
                    f"{needed} {'yes' if gain >= needed else 'NO'} |"
                )
    lines += ["", "| seed | " + " | ".join(f"{stage} s" for stage in next(iter(results.values()))[1]) + " |"]
    lines.append("|---" * (1 + len(next(iter(results.values()))[1])) + "|")
    lines += [
        "| " + " | ".join([str(seed), *(f"{value:.0f}" for value in seconds.values())]) + " |"
        for seed, (_, seconds) in results.items()
    ]
    return "\n".join(lines)


def _shown(figures: dict[str, float]) -> str:
    return (
        f"{100 * figures['accuracy']:.1f} [{100 * figures['low']:.1f}, {100 * figures['high']:.1f}] (n "
        f"{figures['n']})"
    )


def main() -> None:

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", dest="edits", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--stages", nargs="+", default=STAGES, choices=STAGES)
    parser.add_argument("--keep", help="work in FOLDER/seed-N and leave finished stages as they are")
    parser.add_argument(
        "--split",
        choices=("heldout", "validation"),
        default="heldout",
        help="the problems that are evaluated",
    )
    options = parser.parse_args()
    params = override(with_presets(read_yaml(ROOT / "params.yaml"), ROOT), options.edits)
    results = {}
    for seed in options.seeds:
        folder = Path(options.keep or tempfile.mkdtemp(prefix="embedded-")) / f"seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        if not Path("raw").exists():
            Path("raw").symlink_to(ROOT / "raw")
        params["identity"]["seed"] = seed
        stages = tuple(stage for stage in options.stages if stage != "evaluate" or options.split == "heldout")
        seconds = pipeline(params, stages)
        if "evaluate" in options.stages and options.split == "heldout":
            results[seed] = (
                {
                    file.stem: json.loads(file.read_text("utf-8"))
                    for file in sorted(Path("metrics/evaluate").glob("*.json"))
                },
                seconds,
            )
    if results:
        print(table(results))


if __name__ == "__main__":
    main()
