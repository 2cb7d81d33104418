"""What runs, sets and presets of params.yaml are laid over, and which value holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.graph import recipes
from flows.graph.params import check, load
from flows.graph.params_file import (
    PARAMS,
    ParamsError,
    load_with_comments,
    save_with_comments,
    set_value,
)
from pipelines.settings import laid_over
from pipelines.training.policy_params import PolicyParams
from tasks.preferences_params import PreferenceSet
from tests.flows.params_checked import problems
from tests.flows.toy import ROOT

ON = {"start": "sft", "data": "exam", "judge": "none"}


def test_runs_lie_over_what_they_share(raw: dict[str, Any]):
    raw["dpo"]["runs"]["ipo"] = {
        "start": "sft",
        "data": "exam_pairs",
        "loss": {"kind": "ipo", "beta": 0.5},
        "epochs": 1,
    }
    raw["rl"]["common"]["zero_signal"] = "count"
    params = check(raw)
    own = params.section("dpo.runs.ipo")
    assert (own.loss.kind, own.epochs, own.batch_size) == ("ipo", 1, 64)
    assert params.section("dpo.runs.dpo").loss.beta == 0.1
    assert params.section("preferences.round_2").source.reward.model == "reward_model"
    run = params.section("rl.runs.ppo_rm")
    preset = raw["rl"]["presets"]["ppo_reward_model"]
    assert (run.zero_signal, run.prompts, run.reward.kind, run.reward.model) == (
        "count",
        preset["prompts"],
        "reward_model",
        "reward_model",
    )


@pytest.mark.parametrize(
    ("path", "key", "said"),
    [
        (("dpo", "common"), "epoch", "dpo.common.epoch: unknown, did you mean epochs?"),
        (
            ("dpo", "common", "optimiser"),
            "learning_rat",
            "dpo.common.optimiser.learning_rat: unknown, did you mean learning_rate?",
        ),
        (
            ("dpo", "runs", "dpo_safe"),
            "batch_siz",
            "dpo.runs.dpo_safe.batch_siz: unknown, did you mean batch_size?",
        ),
        (
            ("preferences", "round_2", "source"),
            "promts",
            "preferences.round_2.source.promts: unknown, did you mean prompts?",
        ),
        (
            ("rl", "methods", "ppo_reward_model", "critic"),
            "clipp",
            "rl.methods.ppo_reward_model.critic.clipp: unknown, did you mean clip?",
        ),
        (
            ("preferences", "exam_safety", "filters"),
            "dual_unsaf",
            "preferences.exam_safety.filters.dual_unsaf: unknown, did you mean dual_unsafe?",
        ),
        (("assess", "graders"), "chekcer", "assess.graders.chekcer: unknown, did you mean checker?"),
    ],
)
def test_an_unknown_key_of_a_run_is_said_once_where_it_stands(
    raw: dict[str, Any], path: tuple[str, ...], key: str, said: str
):
    target = raw
    for part in path:
        target = target[part]
    target[key] = 1
    assert problems(raw) == [f"params.yaml: {said}"]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("sft.common.stepps", 3, "unknown, did you mean steps?"),
        ("sft.common.optimiser.learning_rat", 1e-3, "unknown, did you mean learning_rate?"),
        ("sft.common.batch_size", "many", "Input should be a valid integer"),
        ("verifier.common.max_token", 5, "unknown, did you mean max_tokens?"),
        ("base.common.architecture.contxt", 5, "unknown, did you mean context?"),
        ("evaluate.common.problem", 5, "unknown, did you mean problems?"),
        ("rl.common.iteration", 3, "unknown, did you mean iterations?"),
    ],
)
def test_what_runs_share_is_checked_where_there_is_no_run(
    tmp_path: Path, path: str, value: object, said: str
):
    (tmp_path / "recipes").mkdir()
    for name in (PARAMS, "presets.yaml", "dvc.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "recipes/empty.yaml").write_text("report: {samples: 1}\n")
    recipes.use(tmp_path, "empty")
    document = load_with_comments(tmp_path / PARAMS)
    assert not any(document[section]["runs"] for section in ("sft", "verifier", "base", "evaluate", "rl"))
    set_value(document, path, str(value))
    save_with_comments(tmp_path / PARAMS, document)
    with pytest.raises(ParamsError) as caught:
        load(tmp_path)
    (line,) = caught.value.problems
    assert line.startswith(f"params.yaml: {path}: {said}")


def test_a_setting_of_a_run_goes_beside_what_it_shares(tmp_path: Path):
    path = tmp_path / PARAMS
    path.write_text((ROOT / PARAMS).read_text())
    (tmp_path / "presets.yaml").write_text((ROOT / "presets.yaml").read_text())
    document = load_with_comments(path)
    set_value(document, "rl.runs.ppo_rm.kl.coef", "0.2")
    set_value(document, "preferences.round_2.source.pairing.gap", "0.5")
    save_with_comments(path, document)
    params = load(tmp_path)
    assert (params.section("rl.runs.ppo_rm").kl.coef, params.section("rl.runs.ppo_rm").kl.use) == (
        0.2,
        "reward",
    )
    assert (
        params.section("preferences.round_2").source.pairing.gap,
        params.section("preferences.round_1").source.pairing.gap,
    ) == (0.5, 1e-6)


@pytest.mark.parametrize(
    ("layer", "rate"),
    [("presets", 1e-2), ("common", 2e-2), ("methods", 3e-2), ("runs", 4e-2)],
)
def test_the_more_specific_of_what_is_written_holds_and_presets_lie_lowest(
    raw: dict[str, Any], layer: str, rate: float
):
    layers = ("presets", "common", "methods", "runs")
    for place, name in enumerate(layers[: layers.index(layer) + 1]):
        holder = raw["rl"]["common"] if name == "common" else raw["rl"][name].setdefault("grpo", {})
        holder["optimiser"] = {"learning_rate": (place + 1) * 1e-2}
    if layer == "presets":
        del raw["rl"]["common"]["optimiser"]
    assert check(raw).section("rl.runs.grpo").optimiser.learning_rate == rate


def test_what_a_set_says_of_itself_is_the_default_of_what_uses_it(raw: dict[str, Any]):
    raw["corpus"]["exam"] |= {"reward": "math_answer", "max_response_tokens": 33, "near": {"threshold": 0.9}}
    raw["rl"]["methods"]["ppo_reward_model"]["checker"] = raw["assess"]["graders"]["checker"] = "math_answer"
    params = check(raw)
    assert params.section("rl.runs.grpo").reward.kind == "math_answer"
    assert params.section("evaluate.runs.grpo").reward.kind == "math_answer"
    pairs = params.section("preferences.exam_pairs")
    assert (pairs.max_prompt_tokens, pairs.max_answer_tokens, pairs.max_tokens) == (64, 33, 97)
    assert pairs.near.threshold == 0.9
    assert params.section("preferences.exam_pairs").validation_share == 0  # the corpus's own are sampled
    raw["preferences"]["exam_pairs"] |= {"max_answer_tokens": 40, "validation_share": 0.1}
    pairs = check(raw).section("preferences.exam_pairs")
    assert (pairs.max_answer_tokens, pairs.max_tokens, pairs.validation_share) == (40, 104, 0.1)


def test_a_response_may_be_as_long_as_its_set_allows(raw: dict[str, Any]):
    """Where nothing is said: of what a run samples, of pairs, of an exploring policy, of assessed models."""
    for holder in (raw["rl"]["common"], raw["evaluate"]["common"], raw["rl"]["methods"]["rloo_verifier"]):
        del holder["sampling"]
    for run in raw["evaluate"]["runs"].values():
        run.pop("sampling", None)
    raw["corpus"]["exam"]["max_response_tokens"], raw["corpus"]["rlvr"]["max_response_tokens"] = 33, 44
    raw["corpus"]["rlvr"]["reward"] = "containment"
    pairs = raw["preferences"]["exam_pairs"]["source"]
    pairs["sampling"] = {"top_k": 0}
    raw["judgements"]["explored"]["source"]["policy"] |= {"sampling": {"temperature": 0.9}}
    del raw["judgements"]["explored"]["source"]["policy"]["reward"]
    raw["assess"]["settings"]["sampling"] = {"temperature": 0.7}
    raw["rl"]["methods"]["rloo_verifier"]["checker"] = "containment"
    for name in ("rlvr_start", "rlvr_rule"):
        raw["evaluate"]["runs"][name].pop("reward", None)
    params = check(raw)

    def length(section: str) -> int:
        return int(params.section(section).sampling.max_new_tokens)

    assert (length("rl.runs.grpo"), length("rl.runs.rlvr_rule")) == (33, 44)
    assert (length("evaluate.runs.grpo"), length("evaluate.runs.rlvr_rule")) == (33, 44)
    drawn = params.section("preferences.exam_pairs").source.sampling
    assert (drawn.max_new_tokens, drawn.top_k) == (33, 0)
    policy = params.section("judgements.explored").source.policy
    assert (policy.sampling.max_new_tokens, policy.reward.kind) == (44, "containment")
    assert length("assess.settings") == 33
    raw["assess"]["models"]["rlvr_start"] = {
        "reference": "rlvr_start",
        "prompts": "rlvr",
        "data": "exam_pairs",
    }
    raw["assess"]["graders"]["checker"] = None
    assert check(raw).section("assess.settings").sampling.max_new_tokens == 44  # none is cut short
    raw["rl"]["runs"]["grpo"]["sampling"] = {"max_new_tokens": 9}
    assert check(raw).section("rl.runs.grpo").sampling.max_new_tokens == 9


def test_what_a_set_leaves_out_is_its_records_default_for_those_that_use_it(raw: dict[str, Any]):
    """Corpora and sets of pairs have different defaults: those of the corpus count."""
    exam = raw["corpus"]["exam"]
    for key in ("max_prompt_tokens", "max_response_tokens", "near", "decontaminate"):
        del exam[key]
    del raw["rl"]["common"]["sampling"], raw["evaluate"]["common"]["sampling"]
    params = check(raw)
    pairs, corpus = params.section("preferences.exam_pairs"), params.section("corpus.exam")
    assert (corpus.max_response_tokens, PreferenceSet.model_fields["max_answer_tokens"].default) == (
        1024,
        512,
    )
    assert (pairs.max_prompt_tokens, pairs.max_answer_tokens) == (512, 1024)
    assert (pairs.near, pairs.decontaminate) == (corpus.near, corpus.decontaminate)
    assert pairs.decontaminate.ngram == 13
    assert params.section("rl.runs.grpo").sampling.max_new_tokens == 1024
    assert params.section("evaluate.runs.sft").sampling.max_new_tokens == 1024
    raw["preferences"]["exam_pairs"]["near"] = None
    raw["preferences"]["exam_pairs"]["decontaminate"] = {"near": False}
    pairs = check(raw).section("preferences.exam_pairs")
    assert (pairs.near, pairs.decontaminate.ngram, pairs.decontaminate.near) == (None, 13, False)


def test_samples_are_judged_by_the_sets_own_checker(raw: dict[str, Any]):
    raw["corpus"]["exam"]["reward"] = "math_answer"
    raw["rl"]["methods"]["ppo_reward_model"]["checker"] = raw["assess"]["graders"]["checker"] = "math_answer"
    raw["preferences"]["elsewhere"] = {
        "origin": "raw/samples",
        "data": "exam",
        "source": {"kind": "sampled", "file": "a.jsonl"},
    }
    params = check(raw)
    assert params.section("preferences.exam_pairs").source.reward.kind == "math_answer"
    assert params.section("preferences.round_1").source.reward.kind == "reward_model"  # says its own
    assert params.section("preferences.elsewhere").source.reward.kind == "final_answer"  # nothing is judged


def test_options_of_the_choice_that_stands_below_need_no_kind(raw: dict[str, Any]):
    raw["rl"]["common"]["objective"] = {"high": 0.3}
    raw["rl"]["runs"] = {
        "rloo": ON | {"method": "rloo", "objective": "clip", "credit": {"kl": "after"}},
        "dapo": ON | {"method": "dapo"},
    }
    raw["assess"]["models"], raw["wins"], raw["rl"]["methods"] = {}, {}, {}
    raw["evaluate"]["runs"] = {}
    params = check(raw)
    assert params.section("rl.runs.rloo").credit.kl == "after"  # of the preset's leave_one_out
    objective = params.section("rl.runs.dapo").objective
    assert (objective.kind, objective.low, objective.high) == ("clip", 0.2, 0.3)
    assert PolicyParams.model_validate({"objective": {"high": 0.4}}).objective.high == 0.4


def test_a_base_of_data_alone_is_made_from_scratch(raw: dict[str, Any]):
    raw["base"] = {"runs": {name: {"data": run["data"]} for name, run in raw["base"]["runs"].items()}}
    run = check(raw).section("base.runs.base")
    assert (run.architecture.layers, run.tokenizer.vocab_size) == (3, 1024)
    raw["base"]["runs"]["base"] = {"data": "none"}
    assert any("base.runs.base: give either architecture and data" in line for line in problems(raw))


def test_a_mapping_over_a_text_that_is_no_choice_replaces_it():
    assert laid_over({"pretrained": "a/b"}, {"pretrained": {"path": "c"}}) == {"pretrained": {"path": "c"}}
    assert laid_over({"objective": "clip"}, {"objective": {"low": 1}}) == {
        "objective": {"kind": "clip", "low": 1}
    }


def test_of_alternatives_the_one_that_is_given_holds():
    below = {"architecture": {"layers": 3, "heads": 4}, "steps": 100, "seed": 1}
    assert laid_over(below, {"pretrained": "m"}) == {**below, "architecture": None, "pretrained": "m"}
    assert laid_over(below, {"epochs": 2}) == {**below, "steps": None, "epochs": 2}
    assert laid_over(below, {"architecture": {"layers": 2}})["architecture"] == {"layers": 2, "heads": 4}
    assert laid_over(below, {"pretrained": None})["architecture"] == below["architecture"]
    assert laid_over(below, {"steps": 7, "epochs": 1}) == {
        **below,
        "steps": 7,
        "epochs": 1,
    }  # said by the check
