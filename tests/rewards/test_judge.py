"""Rules as judges: the checker's own verdicts, whatever crashes, one by one or many together."""

from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from pipelines.rewards.judge import JudgeContext, Response, RuleJudge
from pipelines.rewards.models.reward_model_params import RewardModelParams
from pipelines.rewards.reward_params import JudgeParams, RewardParams
from pipelines.rewards.rules import final_answer
from pipelines.rewards.scoring import CheckerFailed
from pipelines.rewards.verdict import error, right
from pipelines.settings import seam_modules
from tests.tiny import CPU, make_records, make_tiny_tokens


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return make_records(make_tiny_tokens(tmp_path_factory.mktemp("tokens")), 12)


def responses(records, texts, finished=True):
    return [Response(record, (4, 5), text, finished) for record, text in zip(records, texts, strict=False)]


def test_a_rule_judges_as_its_checker_does(records):
    judge = RuleJudge(final_answer)
    given = responses(records, [f"#### {record.answer}" for record in records[:6]]) + responses(
        records[6:], ["1"] * 6
    )
    given += responses(records[:2], [f"#### {record.answer}" for record in records[:2]], finished=False)
    assert judge.judge(given) == [
        final_answer.check(each.text, each.record.answer, each.finished) for each in given
    ]
    assert [verdict.score for verdict in judge.judge(given)] == [1.0] * 6 + [0.0] * 8
    assert judge.judge([]) == []
    assert judge.deterministic
    assert judge.model is None
    judge.preflight(records)


def test_a_rule_that_a_clock_may_decide_says_so():
    assert not RuleJudge(SimpleNamespace(check=None, respond=None, DETERMINISTIC=False)).deterministic


def test_many_are_checked_together_and_alone_where_that_crashes(records):
    calls = []

    def check(text, answer, finished):
        return [][0] if text == "bad" else right(text)

    def check_many(asked):
        calls.append(len(asked))
        return [check(*each) for each in asked]

    judge = RuleJudge(SimpleNamespace(check=check, check_many=check_many, respond=str))
    assert [verdict.reason for verdict in judge.judge(responses(records, ["a", "b"]))] == ["a", "b"]
    assert [verdict.outcome for verdict in judge.judge(responses(records, ["a", "bad", "c"]))] == [
        "right",
        "error",
        "right",
    ]
    assert calls == [2, 3]


def test_the_preflight_is_the_rules(records):
    with pytest.raises(CheckerFailed, match="the checker calls the gold answer"):
        RuleJudge(SimpleNamespace(check=lambda *_: error("down"), respond=str)).preflight(records)


# -- parameters ----------------------------------------------------------------------------------------------


def test_a_bare_name_and_options_are_both_rewards():
    bare, with_options = (
        JudgeParams(reward="final_answer"),
        JudgeParams(reward={"kind": "reward_model", "clip": 5}, checker="final_answer"),
    )
    assert JudgeParams() == bare
    assert bare.reward.kind == "final_answer"
    assert isinstance(with_options.reward, RewardModelParams)
    assert (with_options.reward.bias, with_options.reward.scale, with_options.reward.clip) == (0, 1, 5)
    assert RewardModelParams().clip == 20, "dpo_vs_ppo.md 3.3"
    assert RewardParams().model_dump() == {
        "reward": {"kind": "final_answer"},
        "on_error": "exclude",
        "max_error_share": 0.05,
    }


def test_the_modules_of_judges_are_known_from_the_values():
    named = set(seam_modules(JudgeParams(reward="reward_model", checker="final_answer")))
    assert named == {
        "pipelines.rewards.models.reward_model",
        "pipelines.rewards.models.reward_model_params",
        "pipelines.rewards.rules.final_answer",
    }
    assert set(seam_modules(JudgeParams())) == {"pipelines.rewards.rules.final_answer"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"reward": "scoring"}, "no module pipelines.rewards.scoring; known: .*final_answer.*reward_model"),
        ({"reward": {"kind": "reward_model", "clp": 1}}, "Extra inputs"),
        ({"reward": {"kind": "reward_model", "clip": 0}}, "greater than 0"),
        ({"reward": {"kind": "final_answer", "clip": 1}}, "Extra inputs"),
        ({"checker": "verdict"}, "no module"),
    ],
)
def test_what_no_judge_is(settings, words):
    with pytest.raises(ValidationError, match=words):
        JudgeParams.model_validate(settings)


def test_a_model_without_a_declared_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"does not declare the model's folder"):
        _ = JudgeContext(None, make_tiny_tokens(tmp_path), CPU, 10).folder
