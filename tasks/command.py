"""The work of `python -m tasks STAGE`: the specification, the watch over reads, running the stage's code in
its processes, and publishing the result.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

from pipelines import settings
from pipelines.quiet import quiet
from tasks import launch, reads
from tasks.publish import mark_done, publish, publishable
from tasks.stage import Spec, Stage

USAGE = "usage: python -m tasks STAGE     for example: python -m tasks rl@grpo"
SPEC = "WHETSTONE_SPEC"
INTERACTIVE = "WHETSTONE_INTERACTIVE"  # for workers: the stage was started by hand


def pin(name: str) -> Path:
    """Returns the path of a new specification. It is written by a process of its own, so that no stage loads
    DVC.
    """
    process = subprocess.run(
        [sys.executable, "-m", "flows.graph.spec", "make", name], capture_output=True, text=True
    )
    if process.returncode:
        sys.stderr.write(process.stderr)
        sys.exit(process.returncode)
    return Path(process.stdout.strip().splitlines()[-1])


def check_place(spec: Spec, root: Path) -> None:
    """Raises UndeclaredRead where the running code is not the project's own: the code digest says nothing
    about a copy elsewhere.
    """
    if spec.code and not Path(__file__).resolve().is_relative_to(root.resolve()):
        raise reads.UndeclaredRead(
            f"{spec.stage} runs the code in {Path(__file__).resolve().parent}, but its digest is of that in "
            f"{root / 'tasks'}: "
            "start it with the project's folder first on Python's path (no PYTHONSAFEPATH, no other project "
            "in PYTHONPATH)"
        )


def train(stage: Stage) -> None:
    """Run the stage's code, in this process or in several, write the checkpoint's lineage, and mark the
    result as done.
    """
    spec, started, processes = stage.spec, time.time(), stage.execution.processes
    if processes > 1 and spec.divisible:
        launch.launch(processes, [sys.executable, "-m", "tasks", stage.name], stage.execution.grace_s)
    else:
        import_module(f"tasks.{stage.kind}").run(stage)
    for out in spec.outs:
        if out.endswith("/lineage.json"):
            from tasks.checkpoint_lineage import write

            folder = out.rpartition("/")[0]
            metrics = stage.work / "outs" / f"metrics/train/{folder.rpartition('/')[2]}.json"
            figures = json.loads(metrics.read_text("utf-8")) if metrics.exists() else {}
            write(
                stage, stage.work / "outs" / folder / "model", figures, stage.out(out), time.time() - started
            )
    reads.finish()
    mark_done(stage.work, spec.outs)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    name, alone, root = arguments[0], SPEC not in os.environ, Path.cwd()
    path = pin(name) if alone else Path(os.environ[SPEC])
    spec = Spec.read(path)
    if spec.stage != name:
        raise ValueError(f"{path} specifies {spec.stage}, not {name}")
    stage = Stage(spec, interactive=alone or INTERACTIVE in os.environ, first=launch.is_first())
    settings.trust_names()
    quiet(offline=stage.execution.offline)
    if stage.execution.threads:
        os.environ["OMP_NUM_THREADS"] = str(stage.execution.threads)  # read once, when torch is imported
    if alone:
        os.environ |= {SPEC: str(path), INTERACTIVE: "1"}
    if launch.is_worker() or not publishable(stage.work, root):
        check_place(spec, root)
        reads.restrict(
            reads.allowed_reads(root, spec.stage, spec.code, spec.inputs, spec.outs, stage.work, path)
        )
    if launch.is_worker():
        launch.die_with_parent(signal.SIGKILL)
        import_module(f"tasks.{stage.kind}").run(stage)
        reads.finish()
        launch.end_worker()
    if not publishable(stage.work, root):
        try:
            train(stage)
        except reads.UndeclaredRead:
            if alone:  # else the runner does so
                reads.stop()
                subprocess.run([sys.executable, "-m", "flows.graph.spec", "refuse", str(path)])
            raise
    publish(stage.work, root)
    if alone:
        return subprocess.run([sys.executable, "-m", "flows.graph.spec", "verify", str(path)]).returncode
    return 0
