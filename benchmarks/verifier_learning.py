"""What a distilled verifier is worth: the embedded multi-subject set, seed by seed, in a scratch folder, and
its tables as markdown.

    python -m benchmarks.verifier_learning --seeds 0 1 2 --folder FOLDER [--set
    rl.methods.rloo_verifier.iterations=40] [--tables]

Per seed: the set, the start model, judgements, the verifier with report and gate, RL with a rule, the binary
and the soft verifier and the exact checker (gold), and a hacked one: a verifier from little drift and no
made-up negatives, read without its prefilter, behind a gate that is ignored. Finished stages are left as they
are; `--tables` only prints. One thread, so that two seeds can run side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.embedded_learning import override, run_stage  # noqa: E402
from flows.graph.params_file import read_yaml  # noqa: E402
from flows.graph.presets import with_presets  # noqa: E402
from flows.graph.sections import with_members_laid  # noqa: E402
from pipelines.settings import laid_over  # noqa: E402

SET = ["data/rlvr/records"]
ARMS = ("rule", "binary", "soft", "gold", "hacked")
MODELS = ("rlvr_start", *(f"rlvr_{name}" for name in ARMS))


def extended(params: dict[str, Any]) -> dict[str, Any]:
    """The default's sections, and those of the gold and the hacked arm from their recipe."""
    import yaml

    recipe = yaml.safe_load((ROOT / "recipes/rlvr_arms.yaml").read_text("utf-8"))
    params = laid_over(params, recipe)
    params["execution"] = {"device": "cpu", "threads": 1, "log_period_s": 20.0, "micro_batch_tokens": 2048}
    params["rl"]["runs"] = {name: params["rl"]["runs"][name] for name in ARMS}
    return params


def pipeline(params: dict[str, Any]) -> dict[str, float]:
    """Run what is not there yet in the current folder; seconds by stage."""
    params = with_members_laid(params)
    identity, seconds = {"identity.seed": params["identity"]["seed"]}, {}

    def go(name: str, sections: dict[str, Any], inputs: list[str], outs: list[str]) -> None:
        if not all(Path(out).exists() for out in outs):
            seconds[name] = run_stage(name, identity | sections, inputs, outs, params["execution"])

    def of_runs(section: str, run: str) -> dict[str, Any]:
        return {f"{section}.runs.{run}": params[section]["runs"][run]}

    def model(name: str) -> list[str]:
        return [f"models/{name}/model", f"curves/{name}.jsonl", f"metrics/train/{name}.json"]

    settings = params["corpus"]["rlvr"]
    go(
        "corpus@rlvr",
        {"corpus.rlvr": settings},
        [settings["raw"]],
        [*SET, "metrics/corpus/rlvr.json"],
    )
    go("base@rlvr_base", of_runs("base", "rlvr_base"), SET, ["models/rlvr_base/model"])
    start = ["models/rlvr_base/model", *SET]
    go("sft@rlvr_start", of_runs("sft", "rlvr_start"), start, model("rlvr_start"))
    for name, own in params["judgements"].items():
        outs = [f"data/{name}/judgements", f"metrics/judgements/{name}.json"]
        go(f"judgements@{name}", {f"judgements.{name}": own}, [own["origin"], *SET], outs)
    for name, own in params["verifier"]["runs"].items():
        judged = f"data/{own['data']}/judgements"
        go(
            f"verifier@{name}",
            of_runs("verifier", name),
            [f"models/{own['start']}/model", judged],
            model(name),
        )
        outs = [f"metrics/verifier_report/{name}.json", f"models/{name}/gate"]
        sections = {"verifier_report": params["verifier_report"], f"verifier.runs.{name}": own}
        go(f"verifier_report@{name}", sections, [f"models/{name}/model", judged], outs)
    for name, own in params["rl"]["runs"].items():
        if own["data"] != "rlvr":
            continue
        # the table shows the arms whatever the gate says; it is reported beside them
        own = {"ignore_gate": True} | own
        inputs = [
            f"models/{own['start']}/model",
            f"models/{own['judge']}/model",
            f"models/{own['judge']}/gate",
            *SET,
        ]
        go(f"rl@{name}", {f"rl.runs.{name}": own}, inputs, model(name))
    for name in MODELS:
        outs = [f"metrics/evaluate/{name}.json", f"samples/{name}.jsonl"]
        go(f"evaluate@{name}", of_runs("evaluate", name), [f"models/{name}/model", *SET], outs)
    return seconds


def tables(folders: dict[int, Path]) -> str:
    """Agreement, policies, and what the hacked reward did, a row per seed."""
    lines = [
        "| seed | verifier | kappa, seen | kappa, unseen | rule's kappa | false accepts | false rejects | "
        "gate |",
        "|---" * 8 + "|",
    ]
    for seed, folder in folders.items():
        for name in ("verifier", "naive"):
            value = _read(folder / f"metrics/verifier_report/{name}.json")
            arm, rule = value["arms"]["verifier"], value["arms"]["containment"]
            tried = value["laboratory"]["verifier"]
            unseen = f"{arm['unseen']['kappa']:.3f}" if arm["unseen"] else "–"
            cells = [
                _kappa(arm["seen"]),
                unseen,
                f"{rule['seen']['kappa']:.3f}",
                _share(tried["false_accept"]),
                _share(tried["false_reject"]),
            ]
            gate = "open" if value["gate"]["passed"] else "closed: " + "; ".join(value["gate"]["reasons"])
            lines.append(f"| {seed} | {name} | {' | '.join(cells)} | {gate} |")
    lines += [
        "",
        "| seed | model | seen, greedy | seen, sampled | unseen, greedy | top last line |",
        "|---" * 6 + "|",
    ]
    for seed, folder in folders.items():
        for name in MODELS:
            value = _read(folder / f"metrics/evaluate/{name}.json")
            seen, unseen = value["by_novelty"]["seen"], value["by_novelty"].get("unseen")
            cells = [
                _accuracy(seen["greedy"]),
                _accuracy(seen["sampled"]),
                _accuracy(unseen["greedy"]) if unseen else "–",
            ]
            lines.append(
                f"| {seed} | {name} | {' | '.join(cells)} | {100 * value['top_line']['share']:.0f} % |"
            )
    means = {
        name: fmean(
            _read(folder / f"metrics/evaluate/{name}.json")["by_novelty"]["seen"]["sampled"]["accuracy"]
            for folder in folders.values()
        )
        for name in MODELS
    }
    lines += [
        "",
        "mean, seen, sampled: " + ", ".join(f"{name} {100 * value:.1f}" for name, value in means.items()),
    ]
    lines += [
        "",
        "| seed | arm | validation reward, first to last | true accuracy, first to last (highest) |",
        "|---" * 4 + "|",
    ]
    for seed, folder in folders.items():
        for name in ("soft", "hacked"):
            rows = [
                json.loads(line)
                for line in (folder / f"curves/rlvr_{name}.jsonl").read_text("utf-8").splitlines()
            ]
            shown = [row for row in rows if "validation_reward" in row]
            reward, right = (
                [row[key] for row in shown] for key in ("validation_reward", "validation_sampled")
            )
            lines.append(
                f"| {seed} | {name} | {reward[0]:.3f} to {reward[-1]:.3f} | {right[0]:.3f} to "
                f"{right[-1]:.3f} ({max(right):.3f}) |"
            )
    return "\n".join(lines)


def _read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return value


def _kappa(value: dict[str, Any]) -> str:
    return f"{value['kappa']:.3f} [{value['kappa_low']:.3f}, {value['kappa_high']:.3f}] (n {value['n']})"


def _share(value: dict[str, Any]) -> str:
    return f"{100 * value['share']:.2f} % of {value['n']}"


def _accuracy(value: dict[str, Any]) -> str:
    return f"{100 * value['accuracy']:.1f} [{100 * value['low']:.1f}, {100 * value['high']:.1f}]"


def main() -> None:

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", required=True, help="work in FOLDER/seed-N")
    parser.add_argument("--set", dest="edits", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--tables", action="store_true", help="print the tables of finished seeds")
    options = parser.parse_args()
    params = extended(with_presets(read_yaml(ROOT / "params.yaml"), ROOT))
    params = override(params, options.edits)
    folders = {seed: (Path(options.folder) / f"seed-{seed}").resolve() for seed in options.seeds}
    for seed, folder in folders.items():
        if options.tables:
            break
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        if not Path("raw").exists():
            Path("raw").symlink_to(ROOT / "raw")
        params["identity"]["seed"] = seed
        for stage, seconds in pipeline(params).items():
            print(f"{stage}: {seconds:.0f} s", flush=True)
    print(tables(folders))


if __name__ == "__main__":
    main()
