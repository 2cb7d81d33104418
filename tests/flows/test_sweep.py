"""`whetstone sweep`: a run for every combination, with its evaluation, that shares what it starts from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flows.graph import sweeps
from flows.graph.params_file import PARAMS, ParamsError, document_of, read_text, read_yaml
from tests.flows.toy import ROOT, Project

RATES = "rl.grpo.optimiser.learning_rate=1e-4,3e-4"


def added(*settings: str) -> tuple[Any, list[str]]:
    document = document_of(read_text(ROOT / PARAMS))
    return document, sweeps.add(document, sweeps.read(settings, document, ROOT), ROOT)


def test_every_combination_is_a_run_laid_over_the_named_one() -> None:
    document, targets = added("rl.runs.grpo.seed=0,1", RATES)
    names = [f"grpo_learning_rate_{rate}_s{seed}" for rate in ("1e-4", "3e-4") for seed in (0, 1)]
    assert targets == [f"evaluate@{name}" for name in names]
    run = document["rl"]["runs"]["grpo_learning_rate_3e-4_s1"]
    assert {**run, "optimiser": dict(run["optimiser"])} == {
        **document["rl"]["runs"]["grpo"],
        "optimiser": {"learning_rate": 3e-4},
        "seed": 1,
    }
    assert document["evaluate"]["runs"][names[0]] == {"model": names[0], "data": "exam"}


def test_the_same_sweep_again_adds_nothing() -> None:
    document, targets = added(RATES)
    before = {name: dict(run) for name, run in document["rl"]["runs"].items()}
    assert sweeps.add(document, sweeps.read([RATES], document, ROOT), ROOT) == targets
    assert {name: dict(run) for name, run in document["rl"]["runs"].items()} == before


def test_a_run_of_another_key_that_ends_alike_is_not_taken_for_it() -> None:
    document, _ = added(RATES)
    with pytest.raises(ParamsError, match=r"grpo_learning_rate_1e-4 is a run without critic\.optimiser"):
        sweeps.add(
            document, sweeps.read(["rl.grpo.critic.optimiser.learning_rate=1e-4"], document, ROOT), ROOT
        )


def test_a_run_with_several_seeds_is_swept_with_all_of_them(graph: Project) -> None:
    graph.set("rl.runs.grpo.seeds", [0, 3])
    done = graph.call("sweep", "-S", "rl.grpo.optimiser.learning_rate=1e-4", "--plan", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    stages = {row["stage"] for row in json.loads(done.stdout)["stages"]}
    assert stages >= {f"evaluate@grpo_learning_rate_1e-4_s{seed}" for seed in (0, 3)}


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ("1,2", ["1", "2"]),
        ("[1, 2],[3]", ["[1, 2]", "[3]"]),
        ("{kind: flat, samples: 4},tree", ["{kind: flat, samples: 4}", "tree"]),
        ("'a,b',c", ["'a,b'", "c"]),
    ],
)
def test_values_stand_between_commas(values: str, parts: list[str]) -> None:
    assert sweeps.split(values) == parts


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([], "a sweep needs a setting"),
        (["rl.grpo.seed"], "KEY=VALUE"),
        (["rl.gpro.seed=1"], "no run gpro; nearest: grpo"),
        (["corpus.exam.near=1"], "RUN.SETTING is expected"),
        (["rl.grpo=1,2"], "RUN.SETTING is expected"),
        (["rl.grpo.seed=1", "sft.sft.seed=1"], "over one run: rl.grpo, sft.sft"),
        (["rl.grpo.seed=1", "rl.runs.grpo.seed=2"], "seed is swept twice"),
    ],
)
def test_what_is_no_sweep_is_refused(settings: list[str], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        added(*settings)


def test_the_plan_writes_nothing_and_shares_what_is_fresh(graph: Project) -> None:
    before = (graph.folder / PARAMS).read_bytes()
    done = graph.call("sweep", "-S", RATES, "--plan", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    actions = {row["stage"]: row["action"] for row in json.loads(done.stdout)["stages"]}
    assert actions["rl@grpo_learning_rate_1e-4"] == "run"
    assert {actions[name] for name in ("corpus@exam", "base@base", "sft@sft")} == {"keep"}
    assert (graph.folder / PARAMS).read_bytes() == before


def test_a_sweep_runs_its_runs(project: Project) -> None:
    done = project.call("sweep", "-S", "rl.grpo.seed=5", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    assert read_yaml(project.folder / PARAMS)["rl"]["runs"]["grpo_s5"]["seed"] == 5
    assert (project.folder / "metrics/evaluate/grpo_s5.json").is_file()
