"""The check of params.yaml before anything is computed, and edits of it from the command line."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.graph import recipes
from flows.graph.params import check, load
from flows.graph.params_file import (
    PARAMS,
    ParamsError,
    load_with_comments,
    read_yaml,
    save_with_comments,
    set_value,
)
from flows.graph.presets import with_presets
from pipelines.settings import laid_over
from pipelines.training.policy_params import PolicyParams
from tasks.preferences_params import PreferenceSet
from tests.flows.toy import ROOT, Project

ON = {"start": "sft", "data": "exam", "judge": "none"}


@pytest.fixture
def raw() -> dict[str, Any]:
    return copy.deepcopy(with_presets(read_yaml(ROOT / PARAMS), ROOT))


def problems(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(ParamsError) as caught:
        check(raw)
    return caught.value.problems


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


def test_a_pretrained_folder_that_is_missing_is_told_by_the_plan(graph: Project):
    overlay = ["base.common.architecture=null", "base.common.pretrained=assets/nobody"]
    own = ["base.runs.base.tokenizer=null", "base.runs.base.data=none"]
    own += ["base.runs.rlvr_base.tokenizer=null", "base.runs.rlvr_base.data=none"]
    arguments = [word for setting in (*overlay, *own) for word in ("-S", setting)]
    done = graph.call("plan", "base", *arguments, HF_HOME=str(graph.folder / "hf"))
    said = " ".join(done.stdout.split())
    assert (
        "assets/nobody (revision main) is no folder here, and as a Hugging Face id it is not at hand" in said
    )
    assert "set execution.offline to false" in said


def test_a_setting_of_one_alias_leaves_the_other(tmp_path: Path):
    path = tmp_path / PARAMS
    path.write_text("sft:\n  runs:\n    a: {optimiser: &o {learning_rate: 0.001}}\n    b: {optimiser: *o}\n")
    document = load_with_comments(path)
    set_value(document, "sft.runs.b.optimiser.learning_rate", "0.5")
    save_with_comments(path, document)
    runs = read_yaml(path)["sft"]["runs"]
    assert [run["optimiser"]["learning_rate"] for run in runs.values()] == [0.001, 0.5]


def test_a_mapping_over_a_text_that_is_no_choice_replaces_it():
    assert laid_over({"pretrained": "a/b"}, {"pretrained": {"path": "c"}}) == {"pretrained": {"path": "c"}}
    assert laid_over({"objective": "clip"}, {"objective": {"low": 1}}) == {
        "objective": {"kind": "clip", "low": 1}
    }


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


def test_an_edit_keeps_comments_order_and_every_other_value(tmp_path: Path):
    path = tmp_path / PARAMS
    path.write_text((ROOT / PARAMS).read_text())
    before, comments = read_yaml(path), (ROOT / PARAMS).read_text().count("#")
    document = load_with_comments(path)
    set_value(document, "rl.common.optimiser.learning_rate", "1e-4")
    set_value(document, "rl.methods.grpo.optimiser.betas", "[0.9, 0.99]")  # of this method alone
    save_with_comments(path, document)
    assert path.read_text().count("#") == comments
    after = read_yaml(path)
    assert after["rl"]["common"]["optimiser"].pop("learning_rate") == 1e-4
    before["rl"]["common"]["optimiser"].pop("learning_rate")
    assert after["rl"]["methods"].pop("grpo") == {"optimiser": {"betas": [0.9, 0.99]}}
    assert after == before
    assert list(after) == list(before)


def test_plan_with_a_setting_says_what_it_would_mean_and_changes_nothing(graph: Project):
    before = {name: (graph.folder / name).read_bytes() for name in (PARAMS, "code.lock.json", "dvc.lock")}
    done = graph.call("plan", "-S", "sft.common.steps=999", "--json")
    assert done.returncode == 0, done.stderr
    assert "param sft.runs.sft.steps 1000 -> 999" in done.stdout
    assert (
        "code pipelines.objectives.plain is new"
        in graph.call("plan", "-S", "rl.methods.grpo.objective=plain").stdout
    )
    assert {name: (graph.folder / name).read_bytes() for name in before} == before
    assert graph.plan() == {}


def test_run_with_a_setting_writes_it(graph: Project):
    assert graph.call("run", "corpus", "-S", "sft.common.steps=999").returncode == 0
    assert read_yaml(graph.folder / PARAMS)["sft"]["common"]["steps"] == 999
    assert graph.reasons("sft@sft") == ["param sft.runs.sft.steps 1000 -> 999"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [("sft.common.stepps=9", "stepps: unknown, did you mean steps?"), ("sft.common.steps=many", "sft.common.steps"), ("sft.common.steps", "KEY=VALUE is expected"), ("sfft.steps=9", "there is no section sfft")],
)  # fmt: skip
def test_a_wrong_setting_changes_nothing_and_is_bad_usage(graph: Project, setting: str, said: str):
    before = (graph.folder / PARAMS).read_text()
    done = graph.call("plan", "-S", setting)
    assert done.returncode == 2
    assert said in done.stderr
    assert (graph.folder / PARAMS).read_text() == before


def test_run_and_plan_refuse_a_wrong_file_before_anything_is_computed(graph: Project):
    graph.set("rl.methods.grpo.iteratons", 3)
    graph.set("execution.jobs", 0)
    for command in ("plan", "run"):
        done = graph.call(command)
        assert done.returncode == 2
        assert "params.yaml: rl.methods.grpo.iteratons: unknown, did you mean iterations?" in done.stderr
        assert "params.yaml: execution.jobs" in done.stderr
    assert graph.ran() == []


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


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({"train": "a.jsonl", "heldout": "b.jsonl"}, "splits.heldout: raw/mine/b.jsonl is missing; raw/mine holds a.jsonl"),
        ({"train": "a.jsonl"}, "evaluate.runs.llm.data: no source has rows for heldout: the roles named are train"),
        ({"heldout": "a.jsonl"}, "rl.runs.llm_rl.data: no source has rows for rl: the roles named are heldout"),
        ({"rl": "a.jsonl", "heldout": "a.jsonl"}, "sft.runs.tuned.data: no source has rows for sft"),
    ],
)  # fmt: skip
def test_files_and_rows_that_a_set_lacks_are_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: dict[str, str], said: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw/mine").mkdir(parents=True)
    (tmp_path / "raw/mine/a.jsonl").write_text("")
    for name in ("dvc.yaml", "presets.yaml", PARAMS):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "recipes").mkdir()
    mine = {
        "corpus": {"mine": {"raw": "raw/mine", "sources": {"own": {"reader": "table", "splits": sources}}}},
        "base": {"runs": {"llm": {"pretrained": "assets/llm"}}},
        "sft": {"runs": {"tuned": {"start": "llm", "data": "mine"}}},
        "rl": {"runs": {"llm_rl": {"method": "grpo", "start": "llm", "data": "mine"}}},
        "evaluate": {"runs": {"llm": {"model": "llm", "data": "mine"}}},
    }
    (tmp_path / "recipes/mine.yaml").write_text(yaml.safe_dump(mine))
    with pytest.raises(ParamsError) as caught:
        recipes.use(tmp_path, "mine")
    assert any(said in line for line in caught.value.problems)


LIKES = {"origin": "raw/mine", "data": "exam", "source": {"kind": "trl", "splits": {"train": "a.jsonl"}}}
EXPLORE = {"kind": "explore", "policy": {"reward": "final_answer"}, "variants": 2}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"preferences.likes.source.splits": {"train": ["a.jsonl", "b.jsonl"]}}, "preferences.likes.source.splits.train: raw/mine/b.jsonl is missing; raw/mine holds a.jsonl"),
        ({"preferences.likes.source": {"kind": "sampled", "file": "b.jsonl"}}, "preferences.likes.source.file: raw/mine/b.jsonl is missing"),
        ({"preferences.likes.source.splits": {"heldout": "a.jsonl"}}, "preferences.likes.source.splits: no split is named train"),
        ({"preferences.likes.origin": "raw/mine/a.jsonl", "preferences.likes.source.splits": {"train": "b.jsonl"}}, "preferences.likes.origin: raw/mine/a.jsonl is a file, and source.splits.train names b.jsonl: write origin: raw/mine"),
        ({"corpus.mine": {"raw": "raw/mine/a.jsonl", "sources": {"own": {"reader": "table", "splits": {"train": "b.jsonl"}}}}}, "corpus.mine.raw: raw/mine/a.jsonl is a file, and sources.own.splits.train names b.jsonl: write raw: raw/mine, the folder, or name a.jsonl there"),
        ({"corpus.exam.sources": {"own": {"reader": "table", "splits": {"heldout": "a.jsonl"}}}}, "preferences.exam_pairs.data: no source has rows for rl"),
        ({"corpus.exam.sources": {"own": {"reader": "table", "splits": {"rl": "a.jsonl"}}}}, "assess.models.dpo.prompts: no source has rows for heldout"),
        ({"assess.graders.checker": "math_answer"}, "assess.models.dpo.prompts: corpus.exam.reward is final_answer, and assess.graders.checker is math_answer"),
        ({"preferences.likes.validation_share": 0.0, "dpo.runs.mine": {"start": "sft", "data": "likes"}}, "dpo.runs.mine.validation_every: likes has no validation pairs"),
        ({"preferences.likes.validation_share": 0.0, "reward_model.runs.mine": {"start": "sft", "data": "likes"}}, "reward_model.runs.mine.validation_every: likes has no validation pairs"),
        ({"reward_model.runs.mine": {"start": "sft", "data": "round_1"}}, "reward_model.runs.mine.data: round_1 has no held-out pairs"),
        ({"judgements.mine": {"origin": "models/sft/model", "data": "exam", "source": EXPLORE}}, "judgements.mine.data: corpus.exam puts no questions aside to explore"),
        ({"judgements.mine": {"origin": "models/sft/model", "data": "exam", "source": EXPLORE}}, "judgements.mine.source.variants: corpus.exam has no variants of answers"),
        ({"judgements.mine": {"origin": "raw/mine", "data": "exam", "source": {"kind": "published"}}}, "judgements.mine.origin: raw/mine is a folder"),
    ],
)  # fmt: skip
def test_what_sets_of_pairs_and_judgements_lack_is_told_before_anything_runs(
    raw: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    said: str,
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw/mine").mkdir(parents=True)
    (tmp_path / "raw/mine/a.jsonl").write_text("")
    raw["preferences"]["likes"] = copy.deepcopy(LIKES)
    for key, value in changes.items():
        *above, last = key.split(".")
        holder = raw
        for part in above:
            holder = holder[part]
        holder[last] = copy.deepcopy(value)
    assert [line for line in problems(raw) if line.startswith(f"params.yaml: {said}")], problems(raw)


def test_a_set_that_names_its_one_file_as_origin_and_rows_of_unknown_sides_are_let_pass(
    raw: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text("")
    raw["preferences"] |= {
        "likes": copy.deepcopy(LIKES) | {"origin": "a.jsonl", "heldout_share": 0.1},
        "judged": {"origin": "a.jsonl", "data": "exam", "source": {"kind": "sampled", "file": "a.jsonl"}},
        "absent": copy.deepcopy(LIKES) | {"origin": "raw/nobody"},  # DVC may bring it; the plan tells it
    }
    for name in ("likes", "judged"):
        raw["reward_model"]["runs"][f"on_{name}"] = {"start": "sft", "data": name}
    check(raw)
