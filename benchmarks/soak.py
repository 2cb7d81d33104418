"""Kill -9 at random moments over the whole graph, run again, and compare the end with an undisturbed run,
file by file.

    python -m benchmarks.soak --kills 20              # the toy graph of the tests, slowed down
    python -m benchmarks.soak --kills 20 --real       # the embedded graph itself, with small parameters

Victims are the runner, a stage, a stage's supervisor, or runner and stage at once. After each kill: no
process may be left, no object of DVC's cache may differ from its name, and what the plan then calls fresh
must be whole. Exit code 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.flows import toy
from tests.flows.accident import Scene

VICTIMS = ("runner", "stage", "supervisor", "runner and stage")
SMALL = {
    "corpus.exam.sources.exam.n_sft": 2000,
    "corpus.exam.sources.exam.n_rl": 100,
    "corpus.exam.sources.exam.n_validation": 20,
    "corpus.exam.sources.exam.n_heldout": 20,
    "base.common.architecture.hidden_size": 64,
    "base.common.architecture.intermediate_size": 128,
    "sft.common.steps": 200,
    "rl.common.iterations": 6,
    "rl.common.prompts": 8,
    "rl.common.validation_every": 3,
    "rl.methods.ppo.prompts": 32,
    "rl.methods.ppo.iterations": 6,
    "rl.methods.ppo.validation_every": 3,
    "rl.methods.ppo.critic.warmup": 1,
    "rl.methods.spo_tree.prompts": 8,
    # preferences and verifiers
    "preferences.exam_pairs.source.prompts": {"train": 60, "validation": 20, "heldout": 20},
    "preferences.exam_safety.source.prompts": {"train": 60, "validation": 20, "heldout": 20},
    "preferences.round_1.source.prompts": {"train": 40},
    "preferences.round_2.source.prompts": {"train": 40},
    "rl.methods.ppo_reward_model.prompts": 32,
    "rl.methods.ppo_reward_model.iterations": 4,
    "rl.methods.ppo_reward_model.validation_every": 2,
    "rl.methods.ppo_reward_model.critic.warmup": 1,
    "dpo_theory.worlds.seeds": 2,
    "dpo_theory.worlds.dpo_steps": 20,
    "dpo_theory.worlds.sweep": [20, 40],
    "corpus.rlvr.sources.phrases.n_sft": 1000,
    "corpus.rlvr.sources.phrases.n_rl": 400,
    "corpus.rlvr.sources.phrases.n_validation": 20,
    "corpus.rlvr.sources.phrases.n_heldout": 40,
    "base.runs.rlvr_base.architecture.hidden_size": 64,
    "base.runs.rlvr_base.architecture.intermediate_size": 128,
    "sft.runs.rlvr_start.steps": 60,
    "judgements.explored.source.policy.iterations": 6,
    "judgements.explored.source.policy.prompts": 16,
    "verifier.common.steps": 100,
    "verifier_report.laboratory.cases": 10,
    "verifier_report.laboratory.gate": {  # open to a verifier that has learnt nothing
        "min_kappa": -1.0,
        "max_unparsed": 1.0,
        "max_false_accept": 1.0,
        "max_attack": 1.0,
        "max_false_reject": 1.0,
    },
    "rl.runs.rlvr_binary": None,  # their check of gold answers wants a verifier that has learnt something
    "rl.runs.rlvr_soft": None,
    "evaluate.runs.rlvr_binary": None,
    "evaluate.runs.rlvr_soft": None,
    "rl.methods.rloo_verifier.iterations": 4,
    "rl.methods.rloo_verifier.prompts": 8,
    "rl.methods.rloo_verifier.validation_every": 2,
    "execution.checkpoint_period_s": 0,
    "execution.threads": 1,
    "execution.grace_s": 3,
}


@dataclass
class Kill:
    """One kill and what was found after it."""

    victim: str
    at: float
    running: str
    code: int
    left: int
    broken: int
    stale: int

    @property
    def bad(self) -> bool:
        return bool(self.left or self.broken)


def slow_toy(folder: Path) -> Path:
    """The toy graph; each stage takes its steps one by one and keeps its place, so that a kill finds it at
    work.
    """
    toy.make(folder)
    path = folder / "tasks/toy_common.py"
    steps = """    place = stage.work / "place"
    for step in range(int(place.read_text()) if place.exists() else 0, 15):
        stage.progress(step + 1, 15, loss=1.0)
        time.sleep(0.08)
        fresh = place.with_suffix(".tmp")
        fresh.write_text(str(step + 1))
        os.replace(fresh, place)
    text = json.dumps(facts, sort_keys=True)
"""
    text = path.read_text()
    line = "    text = json.dumps(facts, sort_keys=True)\n"
    assert line in text
    path.write_text(text.replace(line, steps))
    return folder


def real(folder: Path) -> Path:
    """The embedded graph with the smallest parameters that still train."""
    toy.make(folder)
    for name in ("tasks", "pipelines"):
        shutil.rmtree(folder / name)
        shutil.copytree(toy.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(folder / "raw/toy")
    for name in ("params.yaml", "presets.yaml"):
        shutil.copy(toy.ROOT / name, folder / name)
    toy.Project.patience = 1800.0
    project = toy.Project(folder)
    for key, value in SMALL.items():
        project.set(key, value)
    return folder


class Soak:
    """The disturbed project and the dice."""

    def __init__(self, folder: Path, seed: int):
        self.scene, self.dice = Scene(folder), random.Random(seed)
        self.kills: list[Kill] = []
        self.finished = 0

    def stages(self) -> list[psutil.Process]:
        """Processes of stages that run at this moment."""
        return [process for process in self.scene.left() if _is_stage(process)]

    def once(self) -> None:
        """Start a run; kill in the middle of it unless it ends before."""
        victim = self.dice.choice(VICTIMS)
        started = time.monotonic()
        run = self.scene.launch("run")
        if victim == "runner" and self.dice.random() < 0.4:  # also while it plans, starts Prefect, records
            until = time.monotonic() + self.dice.uniform(0.1, 8)
            while run.poll() is None and time.monotonic() < until:
                time.sleep(0.02)
        else:
            skip, extra = self.dice.randrange(3), self.dice.uniform(0, 1.5)
            self._wait_for_stages(run, skip)
            time.sleep(extra)
        stages = self.stages()
        names = sorted({process.cmdline()[-1] for process in stages})
        if run.poll() is not None:
            self._ended(run)
            return
        if victim != "runner" and not stages:
            victim = "runner"
        self._strike(victim, run, stages)
        at = time.monotonic() - started
        if "runner" not in victim:
            run.wait(600)
        run.wait()
        left = self._left_after(30)
        kill = Kill(
            victim,
            at,
            ", ".join(names) or "-",
            run.returncode,
            left,
            len(self.scene.broken_objects()),
            self._stale(),
        )
        self.kills.append(kill)
        print(f"{len(self.kills):3}  {kill.victim:<17} {kill.at:6.1f} s  "
            f"{kill.running:<32} exit {kill.code:>3}  "
              f"left {kill.left}  "
              f"broken objects {kill.broken}  stale {kill.stale}", flush=True)  # fmt: skip

    def _stale(self) -> int:
        """How many stages the plan finds stale; -1 when dvc.lock was cut short by the kill (the next run
        mends it).
        """
        planned = self.scene.call("plan", "--json")
        return (
            sum(row["action"] != "keep" for row in json.loads(planned.stdout)["stages"])
            if planned.returncode == 0
            else -1
        )

    def _wait_for_stages(self, run: subprocess.Popen[bytes], skip: int) -> None:
        """Until `skip` stages have come and one more is at work."""
        seen: set[int] = set()
        while run.poll() is None and len(seen) <= skip:
            seen |= {process.pid for process in self.stages()}
            time.sleep(0.05)

    def _strike(self, victim: str, run: subprocess.Popen[bytes], stages: list[psutil.Process]) -> None:
        chosen = self.dice.choice(stages) if stages else None
        targets = []
        if "runner" in victim:
            targets.append(psutil.Process(run.pid))
        if chosen is not None and "stage" in victim:
            targets.append(chosen)
        if chosen is not None and victim == "supervisor":
            targets.append(chosen.parent() or chosen)
        for target in targets:
            try:
                target.kill()
            except psutil.NoSuchProcess:
                continue  # it ended by itself in the same moment

    def _left_after(self, seconds: float) -> int:
        end = time.monotonic() + seconds
        while self.scene.left() and time.monotonic() < end:
            time.sleep(0.1)
        return len(self.scene.left())

    def _ended(self, run: subprocess.Popen[bytes]) -> None:
        """The run came to its end: forget all results and begin anew, so that kills go on hitting the whole
        graph.
        """
        assert run.returncode == 0, self.scene.output()
        self.finished += 1
        print(
            f"     came to its end before the kill; everything is removed and begins anew ({self.finished})",
            flush=True,
        )
        folder = self.scene.folder
        for name in (
            "data",
            "models",
            "metrics",
            "curves",
            "samples",
            "reports",
            ".dvc/cache",
            ".whetstone/work",
        ):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in ("models/none", "data/none"):  # constants of the repository
            shutil.copytree(toy.ROOT / name, folder / name)
        (folder / "dvc.lock").unlink(missing_ok=True)
        (folder / ".whetstone/dvc.lock.good").unlink(missing_ok=True)


def _is_stage(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return "-m" in words and "tasks" in words and not any("lifeline" in word for word in words)


def compare(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """Names of files that differ or are on one side only."""
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--real", action="store_true", help="the embedded graph instead of the toy")
    parser.add_argument("--seed", type=int, default=0, help="of victims and moments")
    parser.add_argument(
        "--folder", type=Path, help="where to work; default a temporary folder, removed at the end"
    )
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    started = time.monotonic()
    try:
        make = real if options.real else slow_toy
        undisturbed = Scene(make(folder / "undisturbed" / "project"))
        done = undisturbed.call("run")
        assert done.returncode == 0, done.stdout + done.stderr
        print(
            f"undisturbed run: {len(undisturbed.shown())} files, {time.monotonic() - started:.0f} s",
            flush=True,
        )
        soak = Soak(make(folder / "soaked" / "project"), options.seed)
        while len(soak.kills) < options.kills:
            soak.once()
        last = soak.scene.call("run")
        print(last.stdout[-600:])
        assert last.returncode == 0, last.stdout + last.stderr
        differing = compare(undisturbed.shown(), soak.scene.shown())
        bad: list[object] = [kill for kill in soak.kills if kill.bad]
        bad += soak.scene.broken_objects()
        left = soak.scene.close() + undisturbed.close()
    finally:
        if not options.folder:
            shutil.rmtree(folder, ignore_errors=True)
    print(
        f"{len(soak.kills)} kills, {soak.finished} runs came to their end between them, "
        f"{time.monotonic() - started:.0f} s"
    )
    print(f"files that differ from the undisturbed run: {differing or 'none'}")
    print(
        f"left processes or broken objects after a kill: {bad or 'none'}; left at the end: {left or 'none'}"
    )
    return 1 if differing or bad or left else 0


if __name__ == "__main__":
    sys.exit(main())
