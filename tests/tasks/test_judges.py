"""Which judge a stage gets, and which exact checker stands beside it."""

import pytest

from pipelines.models.tokenizer import Tokens
from pipelines.rewards.judge import RuleJudge
from pipelines.rewards.models.reward_model import RewardModelJudge
from pipelines.rewards.reward_params import JudgeParams
from tasks.judges import make_checker, make_judge
from tests.tiny import CPU
from tests.training.stages import make_inputs, make_reward_model, make_stage


@pytest.fixture
def stage(tmp_path, monkeypatch):
    make_inputs(tmp_path, 4)
    make_reward_model(tmp_path)
    monkeypatch.chdir(tmp_path)
    return make_stage(tmp_path, "rl@ppo_rm")


def judges(stage, reward="final_answer", **settings):
    settings, tokens = JudgeParams(reward=reward, **settings), Tokens.load("data/tiny/tokenizer")
    judge = make_judge(stage, settings.reward, tokens, CPU)
    return judge, make_checker(stage, settings, judge, tokens, CPU, "final_answer")


def test_a_rule_is_its_own_checker(stage):
    judge, checker = judges(stage)
    assert isinstance(judge, RuleJudge)
    assert checker is judge
    assert judges(stage, checker="final_answer")[1] is not None


def test_a_model_has_an_exact_checker_only_where_one_is_named(stage):
    judge, checker = judges(stage, {"kind": "reward_model", "clip": 3})
    assert isinstance(judge, RewardModelJudge)
    assert checker is None
    judge, checker = judges(stage, "reward_model", checker="final_answer")
    assert isinstance(checker, RuleJudge)
    assert checker is not judge


def test_a_model_behind_a_server_is_no_rule(stage):
    judge, checker = judges(stage, {"kind": "endpoint", "model": "judge-1"})
    assert judge.model is None
    assert checker is None
    assert isinstance(
        judges(stage, {"kind": "endpoint", "model": "judge-1"}, checker="final_answer")[1], RuleJudge
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"reward": "jaccard"},
            "names the checker final_answer .* name reward jaccard; make them equal, or set checker to final_answer",
        ),
        ({"reward": "reward_model", "checker": "jaccard"}, "name checker jaccard; make them equal$"),
    ],
)
def test_the_checker_must_be_the_one_that_the_corpus_names(stage, settings, words):
    with pytest.raises(ValueError, match=words):
        judges(stage, **settings)


def test_another_rule_may_be_the_reward_beside_the_exact_checker(stage):
    judge, checker = judges(stage, "jaccard", checker="final_answer")
    assert isinstance(judge, RuleJudge)
    assert isinstance(checker, RuleJudge)
    assert checker is not judge


def test_a_model_that_the_stage_does_not_declare_is_said(stage):
    with pytest.raises(ValueError, match="does not declare the model's folder"):
        judges(stage, {"kind": "reward_model", "model": "other"})
