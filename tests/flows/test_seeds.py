"""Several seeds of a run: each a run of its own in params.yaml, that shares what it starts and learns from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flows.graph.families import at
from flows.graph.params import check
from flows.graph.params_file import PARAMS, ParamsError, document_of, parse, read_yaml, text_of
from flows.graph.seeds import expand, expanded
from tests.flows.toy import ROOT, Project


def default(**changes: Any) -> Any:
    """params.yaml's values with other values by dotted key (`__` between)."""
    raw = read_yaml(ROOT / PARAMS)
    for key, value in changes.items():
        *above, last = key.split("__")
        at(raw, above)[last] = value
    return raw


def test_a_run_becomes_one_for_each_seed_and_its_evaluation_follows() -> None:
    raw = default(rl__runs__grpo__seeds=[0, 7])
    made = expanded(raw, ROOT)
    grpo = {"method": "grpo", "start": "sft", "data": "exam", "judge": "none"}
    assert list(made["rl"]["runs"])[:4] == ["ppo", "grpo_s0", "grpo_s7", "spo_tree"]
    assert made["rl"]["runs"]["grpo_s7"] == {**grpo, "seed": 7}
    # answered with the seed of all evaluations: the samples are paired
    assert made["evaluate"]["runs"]["grpo_s7"] == {"model": "grpo_s7", "data": "exam"}
    assert "grpo" not in made["evaluate"]["runs"]
    assert raw["rl"]["runs"]["grpo"]["seeds"] == [0, 7]
    params = check(raw)
    assert params.rl.runs["grpo_s7"].seed == 7
    assert params.rl.runs["ppo"].seed == 0


def test_what_starts_from_several_seeds_has_them_too_paths_and_names() -> None:
    raw = default(sft__runs__sft__seeds=[1, 2], assess__models={}, wins={})
    made = expanded(raw, ROOT)
    assert made["rl"]["runs"]["ppo_s1"]["start"] == "sft_s1"
    assert "seed" not in made["rl"]["runs"]["ppo_s1"]
    assert made["preferences"]["exam_pairs_s2"]["origin"] == "models/sft_s2/model"
    assert made["dpo"]["runs"]["dpo_s2"] == {"start": "sft_s2", "data": "exam_pairs_s2"}
    assert made["dpo"]["runs"]["dpo_iter_2_s1"]["data"] == "round_2_s1"
    assert made["rl"]["runs"]["rlvr_rule"] == raw["rl"]["runs"]["rlvr_rule"]
    assert made["base"] == raw["base"]
    assert made["corpus"] == raw["corpus"]


def test_a_document_and_its_values_become_the_same() -> None:
    text = (ROOT / PARAMS).read_text()
    text = text.replace("grpo: {method: grpo,", "grpo: {seeds: [0, 1], method: grpo,", 1)
    document = document_of(text)
    assert expand(document, ROOT) == [
        *(f"rl.runs.grpo_s{seed}" for seed in (0, 1)),
        *(f"evaluate.runs.grpo_s{seed}" for seed in (0, 1)),
    ]
    assert parse(text_of(document)) == expanded(parse(text), ROOT)
    assert expand(document, ROOT) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rl__runs__grpo__seeds": [0, 0]}, "rl.runs.grpo.seeds: .*different whole numbers"),
        ({"rl__runs__grpo__seeds": [0, -1]}, "rl.runs.grpo.seeds"),
        ({"rl__common__seeds": [0, 1]}, "rl.common.seeds: unknown"),
        ({"sft__common__seeds": [0, 1]}, "seeds: .*in the run itself"),
        ({"rl__runs__grpo__seeds": 3}, "rl.runs.grpo.seeds"),
        ({"corpus__exam__seeds": [0]}, "corpus.exam.seeds: unknown"),
        ({"sft__runs__sft__seeds": [0, 1], "rl__runs__grpo__seeds": [0, 2]}, "make them equal"),
        (
            {"reward_model__runs__reward_model__seeds": [0, 1]},
            "assess.graders.reward_model: .*name one of them",
        ),
    ],
)
def test_seeds_that_cannot_be_are_refused_with_their_key(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        check(default(**changes))


def test_a_run_writes_them_and_makes_nothing_else_again(graph: Project) -> None:
    graph.set("rl.runs.grpo.seeds", [0, 3])
    done = graph.call("plan", "rl", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    planned = {row["stage"]: row["action"] for row in json.loads(done.stdout)["stages"]}
    assert {name for name, action in planned.items() if action != "keep"} >= {"rl@grpo_s0", "rl@grpo_s3"}
    assert {planned[name] for name in ("corpus@exam", "base@base", "sft@sft")} == {"keep"}
    named = graph.call("plan", "rl@grpo", "--json")  # stands for its seeds, and is not asked for as a preset
    assert {row["stage"] for row in json.loads(named.stdout)["stages"]} >= {"rl@grpo_s0", "rl@grpo_s3"}
    brought = graph.bring("rl@grpo_s3")
    assert {name for name, action in brought.items() if action == "run"} == {"rl@grpo_s3"}
    runs = read_yaml(graph.folder / PARAMS)["rl"]["runs"]
    assert runs["grpo_s3"]["seed"] == 3
    assert "grpo" not in runs
    record = json.loads((graph.folder / "models/grpo_s3/lineage.json").read_text())
    assert record["params"]["rl.runs.grpo_s3"]["seed"] == 3
