"""What the pipeline costs beyond the stages' own work: plan, idle run, time to the first stage, overhead per
stage, a stage's start.

    python benchmarks/pipeline_overhead.py [--runs 5] [--folder FOLDER]

Runs on a graph of 15 stages whose commands compute next to nothing, in a temporary folder
(`tests/flows/toy.py`); prints medians as a markdown table. The targets are those of the foundation issue, for
two cores without other load.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.flows import toy  # noqa: E402

METHODS = ("grpo", "other", "third", "fourth", "fifth")


def wide(folder: Path) -> toy.Project:
    """The toy graph with five methods: 15 stages."""
    project = toy.Project(toy.make(folder))
    for number, name in enumerate(METHODS[2:]):
        project.set(f"rl.methods.{name}", {"objective": "plain", "max_error_share": 0.1 + number / 100})
    project.set(
        "rl.runs",
        {name: {"method": name, "start": "sft", "data": "exam", "judge": "none"} for name in METHODS},
    )
    project.set("evaluate.runs", {name: {"model": name, "data": "exam"} for name in ("sft", *METHODS)})
    project.set("execution.jobs", 1)  # so that stages do not slow each other
    return project


def wall(call: Callable[[], subprocess.CompletedProcess[str]]) -> float:
    started = time.perf_counter()
    done = call()
    took = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return took


def working_run(project: toy.Project) -> tuple[float, float, float]:
    """(seconds to the first stage's start, runner's overhead per stage, seconds of a stage's whole command)
    of a run with five stages.
    """
    work = project.folder / ".whetstone" / "work"
    started = time.time()
    process = project.start("-m", "flows", "run", "--json")
    first = 0.0
    while process.poll() is None and not first:
        specs = list(work.glob("*/spec.json"))
        first = time.time() - started if specs else 0.0
        time.sleep(0.01)
    out, err = process.communicate()
    if process.returncode:
        raise RuntimeError(out + err)
    ran = [name for name, stage in json.loads(out)["stages"].items() if stage["ended"] == "run"]
    timings = json.loads((project.folder / ".whetstone/timings.json").read_text())
    overhead = statistics.median(timings[name]["wall_s"] - timings[name]["command_s"] for name in ran)
    return first, overhead, statistics.median(timings[name]["command_s"] for name in ran)


def between_stages(project: toy.Project) -> float:
    """Seconds per executed stage beyond its command with everything counted: Prefect's states, hand-over and
    recording.

    From the marks that the stages leave when they end: the median distance of two ends, less the command of
    the later one.
    """
    marks = sorted(
        (int(path.name.rpartition(".")[2]) / 1e9, path.name.rpartition(".")[0])
        for path in (project.folder / ".ran").glob("*")
    )
    timings = json.loads((project.folder / ".whetstone/timings.json").read_text())
    gaps = [
        later - before - timings[name]["command_s"]
        for (before, _), (later, name) in itertools.pairwise(marks)
    ]
    return statistics.median(gaps)


def sft_start(samples: int) -> float:
    """Wall seconds in which the real sft stage's process imports all that it needs before its first step."""
    names = [
        "tasks.stage",
        "tasks.publish",
        "tasks.sft",
        *_late_imports(ROOT / "tasks/sft.py"),
        *_late_imports(ROOT / "pipelines/training/supervised.py"),
    ]
    code = "import importlib\n" + "".join(
        f"importlib.import_module({name!r})\n" for name in dict.fromkeys(names)
    )
    call = lambda: subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)  # noqa: E731
    call()
    return statistics.median(wall(call) for _ in range(samples))


def _late_imports(path: Path) -> list[str]:
    return re.findall(r"^\s+from ((?:pipelines|tasks)[\w.]*) import", path.read_text("utf-8"), re.MULTILINE)


def measure(folder: Path, runs: int) -> list[tuple[str, float, float]]:
    """(what, median seconds, target)."""
    project = wide(folder)
    project.run()
    project.ran()
    plan = statistics.median(wall(lambda: project.call("plan")) for _ in range(runs))
    idle = statistics.median(wall(lambda: project.call("run")) for _ in range(runs))
    firsts, overheads, gaps, commands = [], [], [], []
    for number in range(runs):
        project.set("evaluate.common.samples", number + 2)
        first, overhead, command = working_run(project)
        firsts.append(first)
        overheads.append(overhead)
        commands.append(command)
        gaps.append(between_stages(project))
        project.ran()
    return [
        ("`whetstone plan`, 15 stages", plan, 1.0),
        ("`whetstone run`, nothing stale", idle, 1.0),
        ("run with work: to the first stage's start", statistics.median(firsts), 5.0),
        ("per executed stage beyond its command, runner alone", statistics.median(overheads), 1.0),
        ("per executed stage beyond its command, Prefect included", statistics.median(gaps), 1.0),
        ("a toy stage's whole command", statistics.median(commands), float("nan")),
        ("real sft stage: interpreter and imports", sft_start(runs), 3.0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5, help="samples per figure")
    parser.add_argument("--folder", type=Path, help="where to work; default a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        rows = measure((options.folder or Path(temporary)) / "overhead" / "project", options.runs)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"\n{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({platform.machine()}), Python "
        f"{platform.python_version()}, load {load}, ",
        end="",
    )
    print(f"medians of {options.runs}\n\n| what | s | target |\n|---|---|---|")
    for what, value, target in rows:
        print(f"| {what} | {value:.2f} | {'' if target != target else f'{target:g}'} |")


if __name__ == "__main__":
    main()
