"""The benchmarks' own reading of dvc.yaml: what a stage needs and writes, and which edits make it stale."""

from __future__ import annotations

import pytest

from benchmarks.preferences import CHAINS, MATCHES, settings
from benchmarks.preferences_tables import claims, verdict
from benchmarks.stages import Graph


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph(settings([]))


def test_holes_are_filled_and_makers_found(graph: Graph):
    assert graph.before("dpo@dpo_safe") == [
        "sft@sft_safe",
        "preferences@exam_safety",
        "reference@dpo_safe",
    ]
    stage = graph.stages["preferences@round_2"]
    own = ("models/dpo_iter_1/model", "data/exam/records", "models/reward_model/model")
    assert stage.inputs == own
    assert "data/round_2/pairs" in stage.outs
    assert not any(out.endswith("lineage.json") for out in graph.stages["dpo@dpo_iter_2"].outs)
    assert stage.params["preferences.round_2"]["judge"] == "reward_model"
    assert graph.before("preferences@round_12") == [
        "dpo@dpo_iter_11",
        "corpus@exam",
        "reward_model@reward_safe",
    ]


def test_an_edit_makes_later_stages_stale_and_no_others(graph: Graph):
    edited = Graph(settings(["preferences.round_2.source.samples=5"]))
    stale = {name for name in graph.stages if graph.key(name) != edited.key(name)}
    later = {"dpo@dpo_iter_2", "preferences@round_3", "dpo@dpo_iter_3", "evaluate@dpo_iter_2"}
    assert {"preferences@round_2", *later, "assess@dpo_iter_3"} <= stale
    assert not stale & {"sft@sft", "dpo@dpo_iter_1", "dpo@dpo", "assess@dpo_iter_1", "rl@ppo_rm"}


def test_every_model_of_the_plan_has_its_stages(graph: Graph):
    models = {name for chain in CHAINS.values() for name in chain} | {
        name for match in MATCHES for name in match
    }
    assert {f"{kind}@{name}" for kind in ("evaluate", "assess") for name in models} <= set(graph.stages)


def test_a_claim_agrees_only_where_every_seed_does():
    assert verdict([1.0, 2.0, 1.5]) == "yes"
    assert verdict([0.1, 9.0, 0.2]).startswith("yes, in every seed; the interval")
    assert verdict([1.0, -1.0, 2.0]) == "in 2 of 3 seeds"
    assert verdict([-1.0, -2.0, 0.0]) == "no"
    assert verdict([0.0, 0.1], at_least=True).startswith("yes")


def test_claims_without_figures_say_so():
    models = {"sft": {"greedy": 0.5}, "dpo": {"greedy": 0.6}}
    shown = claims(
        {str(seed): {"models": models, "reward": {}, "wins": [], "rounds": {}} for seed in range(2)}
    )
    assert (
        "| C4 | DPO above SFT (0.611 / 0.532) | dpo - sft, greedy: +10.0, +10.0 (+10.0 ± 0.0) | yes |"
        in shown
    )
    assert "| C5 |" in shown
    assert "| C1 |" not in shown
