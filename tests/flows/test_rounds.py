"""Runs and rounds in the graph: a changed round leaves those before it fresh, a group's name stands for all
of its stages.
"""

from __future__ import annotations

import pytest

from tests.flows import toy
from tests.flows.toy import Project

PASS = """
from tasks.toy_common import content, emit

def run(stage):
    emit(stage, {"inputs": {path: content(stage.input(path)) for path in sorted(stage.spec.inputs)}, "params": dict(stage.spec.params)})
"""
PAIRS = {
    "origin": "raw/toy",
    "data": "exam",
    "judge": "none",
    "source": {"kind": "hh", "splits": {"train": "rows.txt"}},
    "heldout_share": 0.2,
}
SOURCE = {"kind": "sampled", "reward": "reward_model", "pairing": {"kind": "best_worst"}}


def start_of(number: int) -> str:
    return "sft" if number == 1 else f"iter_{number - 1}"


@pytest.fixture(scope="module")
def branch(tmp_path_factory: pytest.TempPathFactory, python: str) -> Project:
    """A toy graph with a reward model, three rounds, and two runs of DPO, brought up to date without rl and
    evaluation.
    """
    folder = toy.make(tmp_path_factory.mktemp("rounds") / "project")
    for name in ("preferences", "reward_model", "reference", "dpo", "reward_report"):
        (folder / f"tasks/{name}.py").write_text(f'"""Toy {name}."""\n{PASS}')
    graph = Project(folder, python)
    graph.set("preferences.pairs", PAIRS)
    graph.set("reward_model.runs.judge", {"start": "sft", "data": "pairs", "steps": 5})
    runs = {name: {"start": "sft", "data": "pairs", "steps": 5} for name in ("one", "two")}
    for number in (1, 2, 3):
        own = {"origin": f"models/{start_of(number)}/model", "data": "exam", "judge": "judge"}
        graph.set(f"preferences.round_{number}", {**own, "source": {**SOURCE, "draw": number}})
        runs[f"iter_{number}"] = {"start": start_of(number), "data": f"round_{number}", "steps": 5}
    graph.set("dpo.runs", runs)
    graph.bring(*GROUPS)
    graph.ran()
    return graph


GROUPS = ("dpo", "reward_report")


def of_round(number: int) -> list[str]:
    return [f"dpo@iter_{number}", f"preferences@round_{number}", f"reference@iter_{number}"]


def test_a_group_stands_for_all_its_stages(branch: Project):
    assert branch.plan(*GROUPS) == {}
    names = {row["stage"] for row in branch.plan_rows("dpo@iter_3")}
    rounds = [stage for number in (1, 2, 3) for stage in of_round(number)]
    assert names == {
        "corpus@exam",
        "base@base",
        "sft@sft",
        "preferences@pairs",
        "reward_model@judge",
        *rounds,
    }
    assert {row["stage"] for row in branch.plan_rows("dpo")} >= {
        "dpo@one",
        "dpo@two",
        "reference@one",
        "reference@two",
    }


GAP = {"kind": "best_worst", "gap": 0.5}


@pytest.mark.parametrize(
    ("key", "value", "stale"),
    [
        ("preferences.round_2.source.pairing", GAP, [*of_round(2), *of_round(3)]),
        ("dpo.runs.iter_3.steps", 9, ["dpo@iter_3"]),
        (
            "dpo.common.batch_size",
            7,
            [f"dpo@{name}" for name in ("iter_1", "iter_2", "iter_3", "one", "two")],
        ),
        ("dpo.runs.two.steps", 9, ["dpo@two"]),
        ("dpo.runs.two.loss", {"kind": "ipo"}, ["dpo@two"]),
        ("reward_report", {"bins": 4}, ["reward_report@judge"]),
    ],
)
def test_what_a_changed_setting_makes_stale(branch: Project, key: str, value: object, stale: list[str]):
    before = (branch.folder / "params.yaml").read_text()
    branch.set(key, value)
    planned = set(branch.plan(*GROUPS))
    if key == "dpo.common.batch_size":  # the rounds after it are sampled anew
        planned -= {name for number in (2, 3) for name in of_round(number) if not name.startswith("dpo@")}
    assert sorted(planned) == sorted(stale)
    (branch.folder / "params.yaml").write_text(before)


def test_a_filters_threshold_reruns_its_round_and_later_ones(branch: Project):
    branch.set("preferences.round_2.source.pairing", GAP)
    branch.bring(*GROUPS)
    assert sorted(branch.ran()) == sorted([*of_round(2), *of_round(3)])
    branch.set("preferences.round_2.source.pairing", {"kind": "best_worst"})
    assert branch.bring(*GROUPS) == dict.fromkeys([*of_round(2), *of_round(3)], "restore")
    assert branch.ran() == []


def test_a_loss_is_code_of_the_runs_that_name_it(branch: Project):
    before = (branch.folder / "params.yaml").read_text()
    branch.set("dpo.runs.two.loss", {"kind": "ipo"})
    branch.bring(*GROUPS)
    branch.ran()
    with open(branch.folder / "pipelines/objectives/preference/ipo.py", "a") as stream:
        stream.write("TOLERANCE = 1\n")
    assert branch.plan(*GROUPS) == {"dpo@two": "run"}
    assert branch.reasons("dpo@two", *GROUPS) == ["code pipelines.objectives.preference.ipo changed"]
    (branch.folder / "params.yaml").write_text(before)
