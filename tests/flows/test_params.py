"""The check of params.yaml before anything is computed, and edits of it from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.graph.params import check, load
from flows.graph.params_file import (
    PARAMS,
    ParamsError,
    read_yaml,
)
from pipelines.settings import laid_over
from tests.flows.params_checked import problems
from tests.flows.toy import ROOT

ON = {"start": "sft", "data": "exam", "judge": "none"}


def test_the_embedded_default_is_valid_and_typed(raw: dict[str, Any]):
    params = load(ROOT)
    assert params.sft.runs["sft"].steps == raw["sft"]["common"]["steps"]
    assert (
        params.section("rl.runs.grpo").sampler.samples == raw["rl"]["presets"]["grpo"]["sampler"]["samples"]
    )
    assert params.section("rl.runs.grpo").validation_every == raw["rl"]["common"]["validation_every"]
    assert params.section("identity.seed") == 0


def test_an_unknown_key_names_file_key_and_nearest(raw: dict[str, Any]):
    raw["rl"]["methods"]["grpo"] = {"objective": {"kind": "clip", "hihg": 0.3}}
    assert problems(raw) == ["params.yaml: rl.methods.grpo.objective.hihg: unknown, did you mean high?"]


def test_an_unknown_key_that_methods_share_is_said_once_and_where_it_stands(raw: dict[str, Any]):
    raw["rl"]["common"]["iteratons"] = 3
    raw["rl"]["common"]["sampling"]["temperture"] = 1.0
    raw["rl"]["methods"]["grpo"] = {"epoch": 2}
    assert problems(raw) == [
        "params.yaml: rl.common.iteratons: unknown, did you mean iterations?",
        "params.yaml: rl.common.sampling.temperture: unknown, did you mean temperature?",
        "params.yaml: rl.methods.grpo.epoch: unknown, did you mean epochs?",
    ]


@pytest.mark.parametrize(
    ("method", "edit", "reason"),
    [
        ("grpo", {"credit": "segment_tree"}, "credit segment_tree needs sampler tree"),
        ("grpo", {"sampler": {"kind": "tree", "branching": [2, 2]}}, "credit group needs sampler flat"),
        ("ppo", {"critic": None}, "credit gae needs a value model"),
        ("grpo", {"critic": {}}, "credit group asks no value model"),
        ("grpo", {"sampling": {"top_p": 0.9}}, "sampling.top_p and top_k must be off while training"),
        ("rloo", {"sampler": {"kind": "flat", "samples": 1}}, "at least 2 are needed"),
        (
            "kl_cov",
            {"updates_per_epoch": 1},
            "objective kl_cov changes nothing with one update per iteration",
        ),
        ("grpo", {"reference": {"rate": 0.1}}, "reference.rate moves a reference model that nothing uses"),
        ("spo_tree", {"kl": {"use": "reward", "coef": 0.1}}, "kl.use reward needs sampler flat"),
        ("grpo", {"replay": {}}, "replay spreads the segments of a tree"),
        (
            "spo_tree",
            {"sampler": {"branching": [1, 1]}},
            "credit segment_tree compares responses to the same prompt",
        ),
        (
            "spo_tree",
            {"objective": "reinforce"},
            "objective reinforce takes no ratio, and replay trains on what older policies sampled",
        ),
        ("ppo", {"critic": {"warmup": 40}}, "critic.warmup 40 leaves the policy none of its 40 iterations"),
        ("grpo", {"keep": "best", "validation_every": 0}, "keep: best needs validation_every above 0"),
        ("dapo", {"refill": {"rounds": None}}, "refill.rounds null needs refill.max_tokens"),
    ],
)
def test_an_illegal_combination_is_refused_with_its_reason(
    raw: dict[str, Any], method: str, edit: dict[str, Any], reason: str
):
    raw["rl"]["runs"].setdefault(method, ON | {"method": method})
    raw["rl"]["methods"][method] = laid_over(raw["rl"]["methods"].get(method, {}), edit)
    (line,) = problems(raw)
    assert line.startswith(f"params.yaml: rl.runs.{method}: ")
    assert reason in line


@pytest.mark.parametrize(
    ("section", "key", "near"),
    [((), "evalute", "evaluate"), (("identity",), "sed", "seed"), (("execution",), "thread", "threads"), (("sft", "common", "optimiser"), "learning_rat", "learning_rate"),
     (("corpus", "exam"), "heldout_shar", "heldout_share"), (("evaluate", "common", "sampling"), "top_pp", "top_p")],
)  # fmt: skip
def test_an_unknown_key_is_found_at_any_depth(
    raw: dict[str, Any], section: tuple[str, ...], key: str, near: str
):
    target = raw
    for part in section:
        target = target[part]
    target[key] = 1
    assert problems(raw) == [f"params.yaml: {'.'.join((*section, key))}: unknown, did you mean {near}?"]


def test_a_preset_without_a_stage_refuses_nothing_by_how_its_settings_go_together(raw: dict[str, Any]):
    """An adapter for the methods that run is no matter of those that do not."""
    raw["rl"]["runs"] = {name: run for name, run in raw["rl"]["runs"].items() if name == "grpo"}
    raw["assess"]["models"] = raw["wins"] = {}
    raw["evaluate"]["runs"] = {name: {"model": name, "data": "exam"} for name in ("sft", "grpo")}
    for name in ("assess", "wins"):
        raw[name] = {**raw[name], "models": {}} if "models" in raw[name] else {}
    raw["rl"]["common"]["adapter"] = {"rank": 8}
    assert check(raw).section("rl.runs.grpo.adapter").rank == 8
    raw["rl"]["runs"]["ppo"] = ON | {"method": "ppo"}
    assert problems(raw) == [
        "params.yaml: rl.runs.ppo: with an adapter the reference is the start model: reference.rate must be 0"
    ]
    del raw["rl"]["runs"]["ppo"]
    raw["rl"]["methods"]["ppo"]["epochs"] = "many"
    assert "rl.methods.ppo.epochs" in problems(raw)[0]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("rl.common.objective", {"high": 0.3}, "rl.common.objective.high: rl.methods.rloo_verifier refuses it: its objective is reinforce, and high belongs to clip, clip_cov, kl_cov; say it in rl.methods.NAME of those"),
        ("rl.common.sampler", {"rollouts": 3}, "rl.common.sampler.rollouts: rl.methods.ppo refuses it: its sampler is flat, and rollouts belongs to chain; say it in rl.methods.NAME of those"),
        ("rl.common.reward", {"form": "soft"}, "rl.common.reward.form: rl.methods.ppo refuses it: its reward is final_answer, and form belongs to chat_verifier, endpoint, verifier; say it in rl.methods.NAME of those"),
        ("rl.runs.rlvr_rule.objective", {"high": 0.3}, "rl.runs.rlvr_rule.objective.high: unknown: objective is reinforce, and high belongs to clip, clip_cov, kl_cov"),
        ("rl.common.objective", {"hihg": 0.3}, "rl.common.objective.hihg: unknown, did you mean high?"),
    ],
)  # fmt: skip
def test_an_option_of_another_kind_says_who_refuses_it_and_where_it_belongs(
    raw: dict[str, Any], key: str, value: dict[str, Any], said: str
):
    *above, last = key.split(".")
    holder = raw
    for part in above:
        holder = holder[part]
    holder[last] = value
    assert f"params.yaml: {said}" in problems(raw)


def test_who_refuses_what_runs_share_is_the_run_where_no_method_does(raw: dict[str, Any]):
    raw["rl"]["methods"], raw["rl"]["common"]["objective"] = {}, {"high": 0.3}
    raw["rl"]["runs"] = {"mine": ON | {"method": "rloo"}, "other": ON | {"method": "grpo"}}
    for section in ("assess", "evaluate"):
        raw[section]["runs" if section == "evaluate" else "models"] = {}
    raw["wins"] = {}
    refusal = (
        "rl.runs.mine refuses it: its objective is reinforce, and high belongs to clip, clip_cov, kl_cov"
    )
    ways = "say it in rl.methods.NAME or rl.runs.NAME of those"
    assert problems(raw) == [f"params.yaml: rl.common.objective.high: {refusal}; {ways}"]


def test_an_unknown_key_without_a_neighbour_lists_the_known_ones(raw: dict[str, Any]):
    raw["identity"]["qqqq"] = 1
    assert problems(raw) == ["params.yaml: identity.qqqq: unknown; known here: environment, seed"]


def test_types_ranges_and_missing_keys_are_said_with_what_was_found(raw: dict[str, Any]):
    raw["sft"]["common"]["batch_size"] = "many"
    raw["rl"]["common"]["sampling"]["top_p"] = 1.5
    raw["identity"]["seed"] = -1
    del raw["sft"]["runs"]["sft"]["data"]
    found = problems(raw)
    assert [line.split(": ")[1] for line in found] == [
        "identity.seed",
        "rl.common.sampling.top_p",
        "sft.common.batch_size",
        "sft.runs.sft.data",
    ]
    assert "greater than or equal to 0 (found -1)" in found[0]
    assert "found 1.5" in found[1]
    assert "found 'many'" in found[2]
    assert "sft.runs.sft.data: missing" in found[3]


def test_contradictions_are_said_together_with_everything_else(raw: dict[str, Any]):
    raw["sft"]["runs"]["sft"] |= {"steps": 10, "epochs": 2}
    raw["rl"]["runs"]["pppo"] = ON | {"method": "pppo"}
    raw["evaluate"]["runs"]["sft"]["model"] = "dppo"
    raw["base"]["runs"]["base"]["data"] = "exams"
    raw["rl"]["methods"]["grpo"] = {"objective": {"kind": "clip", "hihg": 0.3}}
    raw["execution"]["jobs"] = 0
    found = "\n".join(problems(raw))
    assert "sft.runs.sft: give either steps or epochs" in found
    assert (
        "rl.runs.pppo.method: no preset of rl.presets or rl.methods is called 'pppo'; nearest: ppo" in found
    )
    assert "evaluate.runs.sft.model: 'dppo' is made by no stage; nearest: ppo" in found
    assert "base.runs.base.data: 'exams' is made by no stage; nearest: exam" in found
    assert "rl.methods.grpo.objective.hihg: unknown" in found
    assert "execution.jobs: " in found


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "evaluate.common.reward",
            "math_answer",
            "is math_answer, and corpus.exam.reward is final_answer: make them equal",
        ),
        (
            "rl.runs.grpo.reward",
            "math_answer",
            "rl.runs.grpo.reward: is math_answer, and corpus.exam.reward is final_answer: make them",
        ),
        (
            "rl.methods.rloo_verifier.checker",
            "substring",
            "rl.runs.rlvr_rule.checker: is substring, and corpus.rlvr.reward is phrase_answer",
        ),
        (
            "corpus.exam.reward",
            "multiple_choice",
            "rl.runs.ppo_rm.checker: is final_answer, and corpus.exam.reward is multiple_choice",
        ),
    ],
)
def test_the_checker_is_the_one_that_the_data_names(raw: dict[str, Any], key: str, value: str, said: str):
    target = raw
    *parents, last = key.split(".")
    for part in parents:
        target = target[part]
    target[last] = value
    assert any(said in line for line in problems(raw))


def test_a_seam_names_the_modules_that_exist(raw: dict[str, Any]):
    raw["rl"]["methods"]["grpo"] = {"objective": "clipp"}
    (line,) = problems(raw)
    assert line.startswith(
        "params.yaml: rl.methods.grpo.objective: no module pipelines.objectives.clipp; known: "
    )
    assert "clip" in line


def test_a_run_cannot_take_a_stages_folder(raw: dict[str, Any]):
    raw["rl"]["runs"]["sft"] = ON | {"method": "grpo"}
    assert any(
        "rl.runs.sft: the name sft is taken: models/sft/model is written by the stage sft@sft" in line
        for line in problems(raw)
    )


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("dpo.runs.dpo.start", "stf", "'stf' is made by no stage; nearest: sft"),
        ("dpo.runs.dpo.start", "reward_model", "'reward_model' is no policy; known: base, "),
        (
            "dpo.runs.dpo_safe.data",
            "exam_safty",
            "'exam_safty' is made by no stage; nearest: exam_safety",
        ),
        (
            "reward_model.runs.reward_model.data",
            None,
            "reward_model.runs.reward_model.data: missing",
        ),
        (
            "rl.runs.ppo_rm.judge",
            "reward_modl",
            "'reward_modl' is made by no stage; nearest: reward_model",
        ),
        ("sft.runs.sft_safe.start", None, "must stand in sft.runs.sft_safe itself"),
        ("preferences.round_1.judge", "judge", "'judge' is made by no stage; known: "),
        ("preferences.round_1.judge", "sft", "'sft' is no reward_model or verifier or none; known: "),
        ("preferences.round_1.judge", "none", "the reward reward_model asks a model: name in judge the run"),
        (
            "preferences.exam_pairs.judge",
            "reward_model",
            "the reward final_answer asks no model, and a run waits for the judge that it names: remove judge",
        ),
        ("preferences.round_1.origin", "models/dpo_iter_2/model", "needs itself to be made, through"),
        (
            "preferences.exam_pairs.origin",
            "models/stf/model",
            "'models/stf/model' is made by no stage; nearest: models/sft/model",
        ),
        (
            "assess.models.grpoo",
            {"reference": "sft", "prompts": "exam", "data": "exam_pairs"},
            "'grpoo' is made by no stage; nearest: grpo",
        ),
        # only a judge may be left out
        ("rl.runs.grpo.start", "none", "'none' is made by no stage; known: base, "),
        (
            "rl.runs.ppo_rm.judge",
            "cost_model",
            "'cost_model' is no reward_model or verifier or none; nearest: reward_model",
        ),
        (
            "assess.graders.reward_model",
            "cost_model",
            "'cost_model' is no reward_model; nearest: reward_model",
        ),
        ("assess.graders.cost_model", "costs", "'costs' is made by no stage; nearest: cost_model"),
        ("wins.checker.matches", [["dpo", "base"]], "no model of assess.models is called 'base'"),
    ],
)
def test_what_a_run_names_must_be_made(raw: dict[str, Any], key: str, value: object, said: str):
    *parents, last = key.split(".")
    target = raw
    for part in parents:
        target = target[part]
    if value is None:
        del target[last]
        raw["sft"]["common"]["start"] = "sft"  # which dvc.yaml does not read there
    else:
        target[last] = value
    assert any(
        said in line and line.startswith("params.yaml: " + key.rpartition(".rounds.")[0])
        for line in problems(raw)
    )


def test_two_stages_cannot_write_one_model(raw: dict[str, Any]):
    raw["dpo"]["runs"]["grpo"] = {"start": "sft", "data": "exam_pairs"}
    raw["sft"]["runs"]["dpo"] = {"start": "sft", "data": "exam_safety"}
    found = "\n".join(problems(raw))
    assert "rl.runs.grpo: the name grpo is taken: models/grpo/model is written by the stage dpo@grpo" in found
    assert "dpo.runs.dpo: the name dpo is taken: models/dpo/model is written by the stage sft@dpo" in found


def test_a_run_cannot_need_itself(raw: dict[str, Any]):
    raw["dpo"]["runs"]["dpo"]["start"] = "dpo_safe"
    raw["preferences"]["exam_safety"]["origin"] = "models/dpo/model"
    found = "\n".join(problems(raw))
    assert "needs itself to be made, through " in found
    assert {"preferences@exam_safety", "dpo@dpo", "dpo@dpo_safe"} <= set(found.replace(",", " ").split())


def test_infinities_are_no_rates(raw: dict[str, Any]):
    raw["sft"]["common"]["optimiser"]["learning_rate"] = float("nan")
    assert "sft.common.optimiser.learning_rate" in problems(raw)[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\n", "not readable as YAML"),
        ("a: 1\na: 2\n", "duplicate key"),
        ("- 1\n", "a mapping of sections is expected"),
        ("a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> x\n", ":2: git's marks"),
    ],
)
def test_a_broken_file_is_said_with_its_name(tmp_path: Path, text: str, said: str):
    (tmp_path / PARAMS).write_text(text)
    with pytest.raises(ParamsError, match=said) as caught:
        load(tmp_path)
    assert PARAMS in str(caught.value)


def test_a_number_is_what_dvc_reads(tmp_path: Path):
    (tmp_path / PARAMS).write_text("a: 1e-5\nb: no\n")
    assert read_yaml(tmp_path / PARAMS) == {"a": 1e-5, "b": "no"}


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("rl.runs.grpo.num_generations", "sampler.samples"),
        ("rl.common.lr", "optimiser.learning_rate"),
        ("dpo.common.beta", "loss.beta in dpo"),
        ("sft.runs.sft.num_train_epochs", "epochs"),
    ],
)
def test_names_of_other_libraries_are_known(raw: dict[str, Any], key: str, hint: str):
    *parents, last = key.split(".")
    target = raw
    for part in parents:
        target = target[part]
    target[last] = 1
    assert any(f"{key}: unknown: here it is {hint}" in line for line in problems(raw))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (("corpus", "exam", "tokenizer"), "corpus.exam.tokenizer: unknown: a tokenizer belongs to a model now, base.runs"),
        (("rlvr_set",), "rlvr_set: unknown: its sets are sets of corpus now"),
    ],
)  # fmt: skip
def test_a_key_of_an_earlier_release_says_where_it_stands_now(
    raw: dict[str, Any], path: tuple[str, ...], said: str
):
    target = raw
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = {"kind": "char"}
    (line,) = problems(raw)
    assert line.startswith(f"params.yaml: {said}")


def test_a_reward_model_needs_held_out_pairs(raw: dict[str, Any]):
    likes = {
        "origin": "raw/likes",
        "data": "exam",
        "judge": "none",
        "source": {"kind": "trl", "splits": {"train": "a"}},
    }
    raw["preferences"]["likes"] = likes
    raw["reward_model"]["runs"]["mine"] = {"start": "sft", "data": "likes"}
    (line,) = problems(raw)
    assert line.startswith("params.yaml: reward_model.runs.mine.data: likes has no held-out pairs")
    likes["heldout_share"] = 0.1
    check(raw)
