"""The stages of the preference branch through their files, on sums of two digits: what they write, equal bits
again, resuming.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipelines.corpora.preferences.demonstrations import demonstrations
from pipelines.corpora.preferences.pair import read_pair_examples
from pipelines.corpora.records.example import read_examples
from pipelines.models import policy, score_head
from pipelines.models.packing import Segment
from pipelines.models.tokenizer import Tokens
from tasks.gate import write_gate
from tests.tasks.preference_inputs import (
    BEST_WORST,
    DPO,
    RANKING,
    ROUND,
    SAFE,
    bytes_below,
    make_folder,
    model_outs,
    run_of,
    run_stage,
    sample_set,
)
from tests.text_files import write_records

REFERENCE = "data/reference/dpo"


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory):
    """A project in which reference, DPO run, reward model, cost model and SafeSFT have run."""
    folder = tmp_path_factory.mktemp("preferences")
    make_folder(folder)
    here = Path.cwd()
    os.chdir(folder)
    reference()
    run_of("dpo", "dpo", DPO, {}, extra=[REFERENCE])
    run_of("reward_model", "reward_model", RANKING, {})
    run_of("reward_model", "cost_model", RANKING, {"kind": "cost"})
    # what preferences@sums writes of these pairs
    learnt = {"sft": demonstrations([], read_examples("data/sums/pairs/responses.jsonl"))}
    learnt["validation"] = demonstrations(read_pair_examples("data/sums/pairs/validation.jsonl"))
    Path("data/sums/records").mkdir(parents=True)
    for file, rows in learnt.items():
        write_records(Path("data/sums/records") / f"{file}.jsonl", rows)
    run_of("sft", "sft_safe", SAFE, {}, data="records")
    yield folder
    os.chdir(here)


def reference(work: str = "work") -> None:
    params = {"dpo.runs.dpo.start": "sft", "dpo.runs.dpo.data": "sums"}
    run_stage("reference@dpo", params, ["models/sft/model", "data/sums/pairs"], [REFERENCE], work)


def curve(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"curves/{name}.jsonl").read_text().splitlines()]


def metrics(path: str) -> dict[str, Any]:
    return json.loads(Path(path).read_text())


def test_dpo_begins_at_log_two_and_learns():
    rows = curve("dpo")
    assert rows[0]["loss"] == pytest.approx(0.693147, abs=1e-6)  # dpo_vs_ppo.md 9.2.1
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[-1]["validation_accuracy"] > 0.5
    found = metrics("metrics/train/dpo.json")
    assert (found["steps"], found["pairs"], found["too_long"], found["start"], found["loss_kind"]) == (
        24,
        96,
        0,
        "sft",
        "dpo",
    )
    model, tokens = policy.load("models/dpo/model")
    assert tokens.digest == Tokens.load("models/sft/model").digest
    assert sum(parameter.numel() for parameter in model.parameters()) > 0


def test_the_same_again_is_the_same_bits():
    outs = [
        "models/dpo",
        "curves/dpo.jsonl",
        "metrics/train/dpo.json",
        REFERENCE,
        "models/reward_model",
        "curves/reward_model.jsonl",
    ]
    before = bytes_below(*outs)
    reference("again")
    run_of("dpo", "dpo", DPO, {}, extra=[REFERENCE], work="again")
    run_of("reward_model", "reward_model", RANKING, {}, work="again")
    assert bytes_below(*outs) == before


@pytest.mark.parametrize("kind", ["dpo", "reward_model"])
def test_a_killed_run_goes_on_to_the_same_bits(kind: str, monkeypatch: pytest.MonkeyPatch):
    common, extra = (DPO, [REFERENCE]) if kind == "dpo" else (RANKING, [])
    whole = bytes_below(f"models/{kind}", f"curves/{kind}.jsonl")
    from tasks.stage import Stage

    log = Stage.log

    def stop(self: Stage, step: int, **figures: float) -> None:
        log(self, step, **figures)
        if step == 7:
            raise SystemExit(1)

    with monkeypatch.context() as patched:
        patched.setattr(Stage, "log", stop)
        with pytest.raises(SystemExit):
            run_of(kind, kind, common, {}, extra=extra, work="killed", checkpoint_period_s=0)
    assert list(Path(f"killed/{kind}@{kind}/checkpoints").glob("step-*"))
    run_of(kind, kind, common, {}, extra=extra, work="killed", checkpoint_period_s=0)
    assert bytes_below(f"models/{kind}", f"curves/{kind}.jsonl") == whole


def test_another_loss_is_another_run():
    params = {"dpo.runs.ipo.start": "sft", "dpo.runs.ipo.data": "sums"}
    run_stage("reference@ipo", params, ["models/sft/model", "data/sums/pairs"], ["data/reference/ipo"])
    run_of(
        "dpo", "ipo", DPO, {"loss": {"kind": "ipo", "beta": 0.5}, "steps": 3}, extra=["data/reference/ipo"]
    )
    assert metrics("metrics/train/ipo.json")["loss_kind"] == "ipo"
    assert curve("ipo")[0]["loss"] == pytest.approx(1.0, abs=1e-4)  # (0 - 1 / (2 * 0.5))^2


def test_pairs_that_changed_after_the_reference_are_refused():
    path = Path("data/sums/pairs/train.jsonl")
    text = path.read_text()
    path.write_text("".join(text.splitlines(keepends=True)[1:]))
    try:
        with pytest.raises(ValueError, match="run the reference stage again"):
            run_of("dpo", "dpo", DPO, {}, extra=[REFERENCE], work="changed")
    finally:
        path.write_text(text)


def test_the_reward_model_orders_answers_and_loads_as_any_other():
    found = metrics("metrics/train/reward_model.json")
    assert found["best_validation_accuracy"] > 0.6
    assert found["kept_step"] in (10, 20, 30, 40, 50)
    model, tokens = score_head.load("models/reward_model/model")
    rows = [
        Segment((tuple(tokens.encode_prompt("1+1")),), tuple(tokens.encode_response(f"#### {digit}")))
        for digit in "27"
    ]
    assert score_head.score_ends(model, rows).shape == (2,)


def test_an_ensemble_is_a_folder_of_members():
    run_of("reward_model", "ensemble", RANKING, {"members": 2, "steps": 2, "keep": "last"})
    assert sorted(path.name for path in Path("models/ensemble/model").iterdir()) == ["member_0", "member_1"]
    assert metrics("metrics/train/ensemble.json")["members"] == 2


def test_the_cost_model_knows_the_sign_of_harm():
    assert curve("cost_model")[-1]["validation_sign_accuracy"] > 0.6


def test_safe_sft_learns_from_safe_answers_only():
    responses = read_examples("data/sums/pairs/responses.jsonl")
    learnt = read_examples("data/sums/records/sft.jsonl")
    assert 0 < len(learnt) < len(responses)
    assert {record.answer for record in learnt} == {"safe"}
    assert metrics("metrics/train/sft_safe.json")["demonstrations"] == len(learnt)


def dpo_round(number: int, start: str, work: str = "work") -> dict[str, Any]:
    """Round `number` from the model `start`: its samples, their reference and the run; the run's figures."""
    name, data = f"dpo_iter_{number}", f"round_{number}"
    sample_set(data, start, "reward_model", {"draw": number, "pairing": BEST_WORST}, work=work)
    own = {"start": start, "data": data}
    params = {f"dpo.runs.{name}.{key}": value for key, value in own.items()}
    inputs, reference = [f"models/{start}/model", f"data/{data}/pairs"], f"data/reference/{name}"
    run_stage(f"reference@{name}", params, inputs, [reference], work)
    params = {"dpo.common": ROUND, f"dpo.runs.{name}": own}
    run_stage(f"dpo@{name}", params, [*inputs, reference], model_outs(name), work)
    return metrics(f"metrics/train/{name}.json")


def test_rounds_of_iterative_dpo_begin_at_log_two_from_the_round_before():
    first, second = dpo_round(1, "sft"), dpo_round(2, "dpo_iter_1")
    for number, found, start in ((1, first, "sft"), (2, second, "dpo_iter_1")):
        # dpo_vs_ppo.md 9.2.30
        assert curve(f"dpo_iter_{number}")[0]["loss"] == pytest.approx(0.693147, abs=1e-6)
        assert (found["start"], found["data"], found["steps"]) == (start, f"round_{number}", 6)
        drawn = metrics(f"metrics/preferences/round_{number}.json")
        assert (drawn["pairing"]["prompts"], drawn["pairing"]["samples"]) == (24, 96)
        assert drawn["pairs"]["train"] == found["pairs"] > 0
        samples = [
            json.loads(line)
            for line in Path(f"data/round_{number}/pairs/samples.jsonl").read_text("utf-8").splitlines()
        ]
        scores = [one["score"] for row in samples for one in row["samples"]]
        assert drawn["samples"]["train"]["reward"] == pytest.approx(sum(scores) / len(scores))
    outs = ("models/dpo_iter_1", "data/round_1", "curves/dpo_iter_1.jsonl")
    before = bytes_below(*outs)
    dpo_round(1, "sft", work="again")
    assert bytes_below(*outs) == before


def test_sets_with_another_draw_hold_other_samples_of_the_same_prompts():
    samples = {}
    for name, draw in (("one", 0), ("again", 0), ("other", 1)):
        sample_set(name, "sft", source={"draw": draw})
        samples[name] = Path(f"data/{name}/pairs/samples.jsonl").read_text()
    assert samples["one"] == samples["again"] != samples["other"]
    ids = [[json.loads(line)["id"] for line in samples[name].splitlines()] for name in ("one", "other")]
    assert ids[0] == ids[1]


def test_a_filter_that_leaves_no_pair_says_what_it_took():
    far = BEST_WORST | {"gap": 1e6}
    with pytest.raises(ValueError, match=r"preferences round_4: no training pair is left .*small_gap 24"):
        sample_set("round_4", "sft", "reward_model", {"pairing": far})


def test_a_set_is_sampled_with_both_labels_and_read_by_the_next_stages():
    source = {
        "kind": "sampled",
        "samples": 4,
        "sampling": {"max_new_tokens": 8, "top_k": 0},
        "prompts": {"train": 0},
    }
    source |= {"safety": {"rule": {"kind": "forbidden", "digits": "357"}, "pairs": 2}}
    params = {
        "origin": "models/sft/model",
        "data": "tiny",
        "source": source,
        "near": None,
        "decontaminate": {"ngram": None, "near": False},
    }
    params |= {"max_prompt_tokens": 16, "max_answer_tokens": 16, "max_tokens": 32}
    outs = ["data/drawn/pairs", "data/drawn/records", "metrics/preferences/drawn.json"]
    inputs = ["models/sft/model", "data/tiny/records"]
    run_stage("preferences@drawn", {"preferences.drawn": params}, inputs, outs)
    found = metrics(outs[2])
    train = read_pair_examples(Path(outs[0]) / "train.jsonl")
    assert len(train) == found["pairs"]["train"] > 0
    assert all(pair.chosen_safe is not None for pair in train)
    responses = read_examples(Path(outs[0]) / "responses.jsonl")
    assert {record.answer for record in responses} == {"safe", "unsafe"}
    learnt = read_examples(Path(outs[1]) / "sft.jsonl")
    assert {record.answer for record in learnt} == {"safe"}
    assert found["demonstrations"]["sft"] == found["answers"]["safe"] == len(learnt)
    before = bytes_below(*outs)
    run_stage("preferences@drawn", {"preferences.drawn": params}, inputs, outs, "again")
    assert bytes_below(*outs) == before


def test_ppo_against_the_reward_model():
    from tests.training.stages import COMMON, PPO

    own = {"method": "against", "start": "sft", "data": "tiny", "judge": "reward_model"}
    preset = PPO | {"reward": "reward_model"} | {"iterations": 2, "checker": "final_answer", "prompts": 8}
    params = {"rl.common": COMMON, "rl.methods.against": preset, "rl.runs.ppo_rm": own}
    outs = ["models/ppo_rm/model", "curves/ppo_rm.jsonl", "metrics/train/ppo_rm.json"]
    inputs = [f"models/{name}" for name in ("sft/model", "reward_model/model", "reward_model/gate")]
    write_gate(Path(inputs[2]), [])
    run_stage("rl@ppo_rm", params, [*inputs, "data/tiny/records"], outs)
    assert metrics(outs[2])["iterations"] == 2


ASSESS = {"samples": 2, "reference_samples": 2, "sampling": {"max_new_tokens": 8}}
GRADERS = {
    "reward_model": "reward_model",
    "cost_model": "cost_model",
    "checker": "final_answer",
    "rule": {"kind": "forbidden", "digits": "7"},
}


def assess(model: str, graders: dict[str, Any] = GRADERS, work: str = "work") -> dict[str, Any]:
    params = {
        "assess.settings": ASSESS,
        "assess.graders": graders,
        f"assess.models.{model}": {"reference": "sft", "prompts": "tiny", "data": "sums"},
    }
    inputs = [f"models/{name}/model" for name in ("sft", model, "reward_model", "cost_model")]
    outs = [f"metrics/assess/{model}.json", f"samples/assess/{model}.jsonl"]
    run_stage(f"assess@{model}", params, [*inputs, "data/sums/pairs", "data/tiny/records"], outs, work)
    return metrics(f"metrics/assess/{model}.json")


def test_assessment_comparison_and_report():
    own, dpo = assess("sft"), assess("dpo")
    assert (
        own["kl"]["per_answer"]["mean"] == pytest.approx(0, abs=1e-5)
        if "per_answer" in own["kl"]
        else own["kl"]
    )
    assert own["implicit"]["accuracy"]["share"] == 0.5  # the model is its own reference: all ties
    assert dpo["implicit"]["accuracy"]["share"] > 0.5
    assert (dpo["prompts"], dpo["answers"]) == (12, 24)
    assert dpo["safety"]["cost"]["n"] == dpo["safety"]["rule"]["n"] == 24
    assert dpo["accuracy"]["n"] == 24
    assert dpo["reward"]["n"] == 24
    rows = [json.loads(line) for line in Path("samples/assess/dpo.jsonl").read_text().splitlines()]
    assert len(rows) == 24
    for judge in ("checker", "reward_model"):
        run_stage(
            f"wins@{judge}",
            {f"wins.{judge}": {"judge": judge, "matches": [["dpo", "sft"]]}},
            ["samples/assess"],
            [f"metrics/wins/{judge}.json"],
        )
        (table,) = metrics(f"metrics/wins/{judge}.json")["matches"]
        assert sum(table["percent"]) == pytest.approx(100)
        assert (table["first"], table["second"], table["prompts"]) == ("dpo", "sft", 12)
    params = {
        "reward_report": {"bins": 5},
        "reward_model.runs.reward_model": {"start": "sft", "data": "sums"},
    }
    outs = ["metrics/reward_report/reward_model.json"]
    run_stage(
        "reward_report@reward_model",
        params,
        ["models/reward_model/model", "data/sums/pairs"],
        [*outs, "models/reward_model/gate"],
    )
    assert metrics(outs[0])["pairs"] == 24
    assert metrics(outs[0])["accuracy"]["share"] > 0.5


def test_a_cost_model_is_reported_by_who_is_more_harmful():
    params = {"reward_report": {}, "reward_model.runs.cost_model": {"kind": "cost", "data": "sums"}}
    outs = ["metrics/reward_report/cost_model.json", "models/cost_model/gate"]
    run_stage("reward_report@cost_model", params, ["models/cost_model/model", "data/sums/pairs"], outs)
    found = metrics(outs[0])
    assert (found["kind"], found["pairs"]) == ("cost", 24)
    assert found["accuracy"]["share"] > 0.6
    assert found["chosen"] > found["rejected"]


def test_the_reward_model_named_as_cost_model_leaves_costs_out():
    found = assess("dpo", GRADERS | {"cost_model": "reward_model", "checker": None, "rule": None}, "plain")
    assert found["cost"] is None
    assert found["accuracy"] is None
    assert found["safety"] == {"cost": None, "rule": None}


def test_another_checker_than_the_corpus_names_is_refused():
    with pytest.raises(ValueError, match=r"names the checker final_answer.*make them equal"):
        assess("dpo", GRADERS | {"checker": "containment"}, "other")
