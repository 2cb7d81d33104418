"""Every setting of the launcher, as a user has it: `whetstone run` in a clone of the whole repository.

The suite tries one process, and two with what is hardest. `WHETSTONE_LAUNCHERS=1 pytest
tests/flows/test_launchers.py` tries all combinations, and every stage that can use several processes (20
minutes of processor time; the whole default in two processes takes most of it).
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path

import pytest

from benchmarks.soak import SMALL
from flows.graph.families import divisible, families
from tests import clone
from tests.flows.toy import Project

everything = pytest.mark.skipif(
    "WHETSTONE_LAUNCHERS" not in os.environ, reason="WHETSTONE_LAUNCHERS=1 tries every launcher setting"
)
MUON = (
    "sft.common.optimiser.kind",
    "verifier.common.optimiser.kind",
)  # needs whole matrices: ZeRO 0 only
ADAPTER = {"rank": 2, "alpha": 4}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, learning_python: str) -> Project:
    return clone.make(tmp_path_factory.mktemp("clone") / "project", python=learning_python)


def bring(project: Project, stage: str, adapter: bool, *force: str, **execution: int) -> None:
    """`whetstone run STAGE` really runs it; then it is fresh, and its checkpoint verifies."""
    section, model = ("sft.common", "sft") if stage == "sft@sft" else ("rl.methods.grpo", "grpo")
    project.set(f"{section}.adapter", ADAPTER if adapter else None)
    for key, value in execution.items():
        project.set(f"execution.{key}", value)
    assert project.run(stage, *force)["stages"][stage]["ended"] == "run"
    assert project.plan(stage) == {}
    assert project.call("audit", f"models/{model}").returncode == 0


@pytest.mark.slow
def test_one_process_then_two_with_lora_and_zero_3(project: Project):
    bring(project, "sft@sft", adapter=False, processes=1)
    bring(project, "rl@grpo", adapter=True, processes=2, zero_stage=3)
    evaluated_aside(project)


def evaluated_aside(project: Project) -> None:
    """A model that is kept aside is evaluated beside the recorded one, and nothing of the graph is
    touched.
    """
    kept = project.folder / ".whetstone/aside/sft-0123-20260101-000000"
    shutil.copytree(project.folder / "models/sft", kept / "outs/models/sft")
    (kept / "aside.json").write_text(
        json.dumps({"stage": "sft@sft", "key": "0123", "why": "edited", "when": 0.0, "published": []})
    )
    before = {path: path.stat().st_mtime_ns for path in project.folder.glob("m*/**/*")}
    done = project.call("aside", kept.name, "--evaluate", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout[done.stdout.index("{") :])
    assert found["model"] == f".whetstone/aside/{kept.name}/outs/models/sft/model"
    assert found["aside"]["greedy"]["n"] == 20
    assert found["recorded"] is None
    assert {path: path.stat().st_mtime_ns for path in project.folder.glob("m*/**/*")} == before


@everything
@pytest.mark.parametrize("stage", ["sft@sft", "rl@grpo"])
@pytest.mark.parametrize(("adapter", "processes", "zero_stage"), [*itertools.product((False, True), (1,), (0,)), *itertools.product((False, True), (2,), range(4))])  # fmt: skip
def test_every_combination(project: Project, stage: str, adapter: bool, processes: int, zero_stage: int):
    if stage != "sft@sft":
        project.set("execution.processes", 1)
        project.run("sft@sft")
    bring(project, stage, adapter, "--force", processes=processes, zero_stage=zero_stage)


@everything
@pytest.mark.timeout(3000)
def test_every_stage_in_two_processes(tmp_path: Path):
    muon = dict.fromkeys(MUON, "adamw")
    project = clone.make(
        tmp_path / "project", SMALL | muon | {"execution.processes": 2, "execution.zero_stage": 1}
    )
    project.patience = 2900
    ended = {name: stage["ended"] for name, stage in project.run()["stages"].items()}
    assert {name.partition("@")[0] for name in ended} >= {
        family.name for family in families(project.folder) if divisible(family.meta)
    }
    assert set(ended.values()) == {"run"}
