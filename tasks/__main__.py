"""`python -m tasks STAGE`: run one stage. The runner hands it a pinned specification; alone, or under a bare `dvc repro`, it pins its own.

python -m tasks sft
python -m tasks rl@grpo
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

from pipelines.quiet import quiet
from tasks import launch
from tasks.publish import mark_done, publish, publishable
from tasks.stage import Spec, Stage

SPEC = "WHETSTONE_SPEC"
INTERACTIVE = "WHETSTONE_INTERACTIVE"  # for workers: the stage was started by hand
DRIFTED = 75  # exit code: inputs, parameters or code changed while the stage ran, so the result must not be recorded
PACKAGES = ("flows", "tasks", "pipelines")


class UnforeseenCode(RuntimeError):
    """The stage loaded code that its digest does not hold, so its staleness would be wrong."""


def pin(name: str) -> Path:
    """Let the graph's side write the specification: a process of its own, so that no stage loads DVC."""
    made = subprocess.run([sys.executable, "-m", "flows.graph.spec", "make", name], capture_output=True, text=True)
    if made.returncode:
        sys.stderr.write(made.stderr)
        sys.exit(made.returncode)
    return Path(made.stdout.strip().splitlines()[-1])


def loaded_code(before: set[str], root: Path) -> set[str]:
    """First-party modules that came in since `before`."""
    found = set()
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if name not in before and name.split(".")[0] in PACKAGES and path and Path(path).resolve().is_relative_to(root.resolve()):
            found.add(name)
    return found


def check_code(loaded: set[str], spec: Spec) -> None:
    """Every first-party module that ran must be in the stage's digest. Raises UnforeseenCode naming the others."""
    known = set(spec.code) | {"tasks.execution_params"}
    unforeseen = sorted(loaded - known)
    if unforeseen:
        raise UnforeseenCode(
            f"{spec.stage} loaded {', '.join(unforeseen)}, which its code digest does not hold: an edit there would go unnoticed. "
            "Import it with an ordinary import statement, or name it by a parameter of type Seam (pipelines/settings.py)."
        )


def work(stage: Stage, root: Path) -> None:
    """Run the stage's code in this process."""
    before = set(sys.modules)
    module = import_module(f"tasks.{stage.kind}")
    module.run(stage)
    check_code(loaded_code(before, root), stage.spec)


def train(stage: Stage, root: Path) -> None:
    """Run the stage's code, here or in several processes, write the checkpoint's lineage, mark the result done."""
    spec, started, processes = stage.spec, time.time(), stage.execution.processes
    if processes > 1 and stage.kind in launch.STAGES:
        launch.launch(processes, [sys.executable, "-m", "tasks", stage.name], stage.execution.grace_s)
    else:
        work(stage, root)
    for out in spec.outs:
        if out.endswith("/lineage.json"):
            from tasks.checkpoint_lineage import write

            folder = out.rpartition("/")[0]
            metrics = stage.work / "outs" / f"metrics/train/{folder.rpartition('/')[2]}.json"
            figures = json.loads(metrics.read_text("utf-8")) if metrics.exists() else {}
            write(stage, stage.work / "outs" / folder / "model", figures, stage.out(out), time.time() - started)
    mark_done(stage.work, spec.outs)


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 0 if "--help" in sys.argv or "-h" in sys.argv else 2
    name, alone = sys.argv[1], SPEC not in os.environ
    path = pin(name) if alone else Path(os.environ[SPEC])
    spec, root = Spec.read(path), Path.cwd()
    if spec.stage != name:
        raise ValueError(f"{path} specifies {spec.stage}, not {name}")
    stage = Stage(spec, interactive=alone or INTERACTIVE in os.environ, first=launch.is_first())
    quiet(offline=stage.execution.offline)
    if stage.execution.threads:
        os.environ["OMP_NUM_THREADS"] = str(stage.execution.threads)  # read once, when torch is imported
    if launch.is_worker():
        launch.die_with_parent(signal.SIGKILL)
        work(stage, root)
        launch.end_worker()
    if alone:
        os.environ |= {SPEC: str(path), INTERACTIVE: "1"}
    if not publishable(stage.work, root):
        train(stage, root)
    publish(stage.work, root)
    if alone:
        return subprocess.run([sys.executable, "-m", "flows.graph.spec", "verify", str(path)]).returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
