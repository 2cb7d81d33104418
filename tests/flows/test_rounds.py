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
ROUNDS = {
    str(number): {"start": "sft" if number == 1 else f"dpo_iter_{number - 1}", "scorer": "judge"}
    for number in (1, 2, 3)
}
PAIRS = {"origin": "raw/toy", "data": "exam", "source": {"kind": "hh", "splits": {"train": "rows.txt"}}}


@pytest.fixture(scope="module")
def branch(tmp_path_factory: pytest.TempPathFactory, python: str) -> Project:
    """A toy graph with a reward model, three rounds, and two runs of DPO, brought up to date without rl and
    evaluation.
    """
    folder = toy.make(tmp_path_factory.mktemp("rounds") / "project")
    for name in ("preferences", "reward_model", "reference", "dpo", "dpo_iter", "reward_report"):
        (folder / f"tasks/{name}.py").write_text(f'"""Toy {name}."""\n{PASS}')
    graph = Project(folder, python)
    graph.set("preferences.pairs", PAIRS)
    graph.set("reward_model.runs.judge", {"start": "sft", "data": "pairs", "steps": 5})
    graph.set("dpo_iter", {"common": {"steps": 5}, "rounds": ROUNDS})
    graph.set("dpo.runs", {name: {"start": "sft", "data": "pairs", "steps": 5} for name in ("one", "two")})
    graph.bring(*GROUPS)
    graph.ran()
    return graph


GROUPS = ("dpo_iter", "dpo", "reward_report")


def test_a_group_stands_for_all_its_stages(branch: Project):
    assert branch.plan(*GROUPS) == {}
    names = {row["stage"] for row in branch.plan_rows("dpo_iter")}
    assert names == {
        "corpus@exam",
        "base",
        "sft",
        "preferences@pairs",
        "reward_model@judge",
        *(f"dpo_iter@{number}" for number in ROUNDS),
    }
    assert {row["stage"] for row in branch.plan_rows("dpo")} >= {
        "dpo@one",
        "dpo@two",
        "reference@one",
        "reference@two",
    }


@pytest.mark.parametrize(
    ("key", "value", "stale"),
    [
        ("dpo_iter.rounds.2.pairing", {"kind": "best_worst", "gap": 0.5}, ["dpo_iter@2", "dpo_iter@3"]),
        ("dpo_iter.rounds.3.steps", 9, ["dpo_iter@3"]),
        ("dpo_iter.common.steps", 7, ["dpo_iter@1", "dpo_iter@2", "dpo_iter@3"]),
        ("dpo.runs.two.steps", 9, ["dpo@two"]),
        ("dpo.runs.two.loss", {"kind": "ipo"}, ["dpo@two"]),
        ("reward_report", {"bins": 4}, ["reward_report@judge"]),
    ],
)
def test_what_a_changed_setting_makes_stale(branch: Project, key: str, value: object, stale: list[str]):
    before = (branch.folder / "params.yaml").read_text()
    branch.set(key, value)
    assert sorted(branch.plan(*GROUPS)) == stale
    (branch.folder / "params.yaml").write_text(before)


def test_a_filters_threshold_reruns_its_round_and_later_ones(branch: Project):
    branch.set("dpo_iter.rounds.2.pairing", {"kind": "best_worst", "gap": 0.5})
    branch.bring(*GROUPS)
    assert branch.ran() == ["dpo_iter@2", "dpo_iter@3"]
    branch.set("dpo_iter.rounds.2.pairing", None)
    assert branch.bring(*GROUPS) == {"dpo_iter@2": "restore", "dpo_iter@3": "restore"}
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


def test_a_round_that_starts_elsewhere_is_refused(branch: Project):
    before = (branch.folder / "params.yaml").read_text()
    branch.set("dpo_iter.rounds.3.start", "sft")
    done = branch.call("plan", "dpo_iter")
    (branch.folder / "params.yaml").write_text(before)
    assert done.returncode == 2
    assert (
        "dpo_iter.rounds.3.start: round 3 goes on from the one before: start must be dpo_iter_2 (found 'sft')"
        in done.stderr
    )
