"""Random edits of parameters, code, raw data, outputs and metrics: the plan is what `dvc repro` then does.

WHETSTONE_TRIALS=200 tries more than the suite does, with new seeds.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.flows.toy import ALL, Project

TRIALS = int(os.environ.get("WHETSTONE_TRIALS", "0"))
OUTPUTS = (
    "data/exam/records", "metrics/corpus/exam.json", "models/base/model", "models/sft/model", "curves/sft.jsonl",
    "metrics/train/sft.json", "models/grpo/model", "models/other/lineage.json", "metrics/evaluate/other.json", "samples/sft.jsonl", "reports",
)  # fmt: skip


def parameter(key: str, value: object) -> Callable[[Project], None]:
    return lambda graph: graph.set(key, value)


def constant(path: str, name: str, value: int) -> Callable[[Project], None]:
    """Let a module hold NAME = value; a new value is another digest, an old one the digest that it was."""

    def change(graph: Project) -> None:
        file = graph.folder / path
        kept = [
            line for line in file.read_text().splitlines(keepends=True) if not line.startswith(f"{name} =")
        ]
        file.write_text("".join(kept) + f"{name} = {value}\n")

    return change


def comment(path: str) -> Callable[[Project], None]:
    def change(graph: Project) -> None:
        with open(graph.folder / path, "a") as stream:
            stream.write("# a comment\n")

    return change


def raw(text: str) -> Callable[[Project], None]:
    return lambda graph: (graph.folder / "raw/toy/rows.txt").write_text(text) and None


def delete(path: str) -> Callable[[Project], None]:
    def change(graph: Project) -> None:
        target = graph.folder / path
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)

    return change


def tamper(path: str) -> Callable[[Project], None]:
    def change(graph: Project) -> None:
        target = graph.folder / path
        if target.is_dir():
            (target / "content.txt").unlink(missing_ok=True)
            (target / "content.txt").write_text("tampered")
        elif target.exists():
            target.unlink()
            target.write_text("{}")

    return change


def forget(folder: str) -> Callable[[Project], None]:
    """Empty the run cache or the whole cache."""
    return lambda graph: shutil.rmtree(graph.folder / ".dvc/cache" / folder, ignore_errors=True)


EDITS: dict[str, Callable[[Project], None]] = {
    **{f"sft.common.steps={n}": parameter("sft.common.steps", n) for n in (998, 1000)},
    **{
        f"rl.methods.other.max_error_share={n}": parameter("rl.methods.other.max_error_share", n)
        for n in (0.1, 0.2, None)
    },
    **{
        f"rl.methods.grpo.objective={n}": parameter("rl.methods.grpo.objective", n) for n in ("clip", "plain")
    },
    **{f"evaluate.samples={n}": parameter("evaluate.common.samples", n) for n in (1, 2)},
    **{f"report.samples={n}": parameter("report.samples", n) for n in (2, 3)},
    **{f"threads={n}": parameter("execution.threads", n) for n in (1, 2)},
    **{f"base.hidden={n}": parameter("base.common.architecture.hidden_size", n) for n in (64, 128)},
    **{f"loss.py A={n}": constant("pipelines/toy/loss.py", "A", n) for n in (1, 2)},
    **{f"plain.py A={n}": constant("pipelines/objectives/plain.py", "A", n) for n in (1, 2)},
    **{f"evaluate.py A={n}": constant("tasks/evaluate.py", "A", n) for n in (1, 2)},
    "comment": comment("pipelines/toy/middle.py"),
    "raw spaces": raw("one two\nthree\n"),
    "raw rows": raw("one two\nfour\n"),
    "raw rows back": raw("one  two\nthree\n"),
    **{f"delete {path}": delete(path) for path in OUTPUTS},
    **{f"tamper {path}": tamper(path) for path in OUTPUTS},
    "forget run cache": forget("runs"),
    "forget cache": forget("files"),
}

rounds = st.lists(st.lists(st.sampled_from(sorted(EDITS)), min_size=1, max_size=3), min_size=1, max_size=3)


def check_round(graph: Project, edits: list[str]) -> None:
    for name in edits:
        EDITS[name](graph)
    planned = dict.fromkeys(ALL, "keep") | graph.plan()
    done = graph.dvc("repro")
    assert done.returncode == 0, (edits, done.stdout, done.stderr)
    ran = graph.ran()
    assert len(set(ran)) == len(ran)
    must, may = (
        {name for name, action in planned.items() if action in actions}
        for actions in (("run",), ("run", "run?"))
    )
    assert must <= set(ran) <= may, (edits, planned, ran)
    for name, action in planned.items():
        said = [line for line in done.stdout.splitlines() if f"'{name}'" in line]
        if action == "keep":
            assert any("didn't change, skipping" in line for line in said), (edits, name, said)
        if action in ("checkout", "restore"):
            assert any("is cached - skipping run, checking out outputs" in line for line in said), (
                edits,
                name,
                action,
                said,
            )
    assert graph.plan() == {}, edits


@settings(
    max_examples=TRIALS or 7, deadline=None, derandomize=not TRIALS, database=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(rounds=rounds)
def run_trials(finished: Path, tmp_path: Path, python: str, rounds: list[list[str]]) -> None:
    folder = tmp_path / "project"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(finished, folder, symlinks=True)
    for edits in rounds:
        check_round(Project(folder, python), edits)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_plan_is_what_repro_then_does(finished: Path, tmp_path: Path, python: str):
    run_trials(finished, tmp_path, python)


@pytest.mark.parametrize(
    "edits",
    [
        ["delete metrics/train/sft.json", "evaluate.samples=2"],
        ["tamper models/sft/model", "rl.methods.other.max_error_share=0.1"],
        ["forget run cache", "raw spaces", "tamper metrics/corpus/exam.json"],
        ["forget cache", "delete samples/sft.jsonl"],
        ["plain.py A=1", "comment", "threads=2"],
    ],
    ids=lambda edits: ", ".join(edits),
)
def test_edits_that_once_told_plan_and_repro_apart(graph: Project, edits: list[str]):
    check_round(graph, edits)
