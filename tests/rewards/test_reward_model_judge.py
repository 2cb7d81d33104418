"""A reward model as a judge (dpo_vs_ppo.md 3.1, 3.3, 5.1): its own scores, clipped; no score for what was
cut; errors named.
"""

import math

import pytest
import torch

from pipelines.credit.gae import token_rewards
from pipelines.models import score_head
from pipelines.models.tokenizer_params import CharTokenizer, TemplateParams
from pipelines.models.tokenizer_training import make_tokens
from pipelines.objectives.divergence import kl_estimate
from pipelines.rewards.judge import JudgeContext, Response
from pipelines.rewards.models.reward_model import RewardModelJudge, make_judge, post_process
from pipelines.rewards.models.reward_model_params import RewardModelParams
from pipelines.rewards.scoring import CheckerFailed
from tests.tiny import CPU, make_records, make_tiny_model, make_tiny_tokens


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


@pytest.fixture
def model(tokens):
    made = score_head.make(make_tiny_model(tokens), 3)
    torch.nn.init.normal_(made.score.weight, generator=torch.Generator().manual_seed(1))
    return made


def judge_of(model, tokens, budget=1000, **options):
    return RewardModelJudge(model, tokens.eos_id, RewardModelParams(**options), CPU, budget)


def answers(tokens, count=9):
    """Two different answers to each of `count` prompts."""
    records = make_records(tokens, count)
    texts = [(record, text) for record in records for text in (f"#### {record.answer}", "1+1")]
    return [Response(record, tuple(tokens.encode_response(text)), text, True) for record, text in texts]


def alone(model, response):
    """transformers' own forward over prompt and answer, read at the last token."""
    ids = torch.tensor([[*response.record.prompt_ids, *response.ids]])
    with torch.no_grad():
        return float(model.score(model.model(input_ids=ids).last_hidden_state[:, -1]))


@pytest.mark.parametrize(
    ("output", "options", "score"),
    [
        (25.0, {}, 20.0),
        (-31.0, {}, -20.0),
        (1.5, {}, 1.5),
        (3.0, {"bias": 1.0, "scale": 2.0}, 4.0),
        (3.0, {"clip": 0.5}, 0.5),
    ],
)
def test_post_processing(output, options, score):
    """dpo_vs_ppo.md 3.3: score <- clip((R - bias) * scale, +-20)."""
    assert post_process(output, RewardModelParams(**options)) == score


def test_token_rewards_of_a_judged_response():
    """dpo_vs_ppo.md 9.2.9: the score alone is clipped and added at the end token; a cut response gets the KL
    part only.
    """
    old, reference = torch.tensor([-1.0, -2.0, -0.5]), torch.tensor([-1.5, -1.0, -0.5])
    penalties = -0.1 * kl_estimate(old, reference, "k1")
    score = post_process(25.0, RewardModelParams())
    assert penalties.tolist() == pytest.approx([-0.05, 0.1, 0.0])
    assert token_rewards(penalties, score, True).tolist() == pytest.approx([-0.05, 0.1, 20.0])
    assert float(token_rewards(penalties, score, True).sum()) == pytest.approx(20.05)
    assert token_rewards(penalties, score, False).tolist() == pytest.approx([-0.05, 0.1, 0.0])


@pytest.mark.parametrize("budget", [1, 25, 1000])
def test_scores_are_those_of_each_response_alone(model, tokens, budget):
    given = answers(tokens)
    verdicts = judge_of(model, tokens, budget).judge(given)
    expected = [alone(model, each) for each in given]
    assert [verdict.score for verdict in verdicts] == pytest.approx(expected, abs=1e-5)
    assert [verdict.outcome for verdict in verdicts] == [
        "right" if value > 0 else "wrong" for value in expected
    ]
    assert {verdict.outcome for verdict in verdicts} == {"right", "wrong"}, "or the line above shows little"
    assert all((verdict.reason == "") == (verdict.outcome == "right") for verdict in verdicts)
    assert judge_of(model, tokens).judge([]) == []


def test_bias_moves_the_boundary_and_so_does_the_threshold(model, tokens):
    given = answers(tokens)
    plain = [verdict.score for verdict in judge_of(model, tokens).judge(given)]
    middle = sorted(plain)[len(plain) // 2]
    for options, shift in (({"bias": middle}, middle), ({"threshold": middle}, 0.0)):
        verdicts = judge_of(model, tokens, **options).judge(given)
        assert [verdict.score for verdict in verdicts] == pytest.approx(
            [value - shift for value in plain], abs=1e-6
        )
        assert sum(verdict.outcome == "right" for verdict in verdicts) == sum(
            value > middle for value in plain
        )


def test_a_cut_response_scores_nothing(model, tokens):
    """dpo_vs_ppo.md 5.1.3, whatever bias and threshold say."""
    given = answers(tokens, 2)
    cut = [Response(each.record, each.ids[:-1], each.text, False) for each in given[:2]]
    found = judge_of(model, tokens, bias=-100.0, threshold=-5.0).judge([cut[0], given[2], cut[1], given[3]])
    assert [(verdict.outcome, verdict.score) for verdict in found] == [("wrong", 0.0), ("right", 20.0)] * 2
    assert found[0].reason == "cut off before the end"


def test_a_score_that_is_no_number_is_an_error(model, tokens):
    with torch.no_grad():
        model.score.weight[0, 0] = math.nan
    judge = judge_of(model, tokens)
    verdicts = judge.judge(answers(tokens, 2))
    assert {verdict.outcome for verdict in verdicts} == {"error"}
    assert verdicts[0].reason == "the reward model gives nan"
    with pytest.raises(CheckerFailed, match=r"8 of 8 verdicts are errors.*the reward model gives nan"):
        judge.preflight(make_records(tokens, 20))


def test_what_the_model_cannot_hold_is_an_error(model, tokens):
    record, short = make_records(tokens, 1)[0], answers(tokens, 1)[0]
    long = Response(record, tuple([5] * 70), "", True)
    verdicts = judge_of(model, tokens).judge([long, short])
    assert verdicts[0].outcome == "error"
    assert "the reward model's context 64" in verdicts[0].reason
    assert verdicts[1].outcome != "error"
    judge_of(model, tokens).preflight([record])


def test_from_a_folder_an_ensemble_judges_by_its_mean(model, tokens, tmp_path):
    other = score_head.make(make_tiny_model(tokens, 5), 4)
    score_head.save(score_head.RewardEnsemble([model, other]), tokens, tmp_path / "both")
    judge = make_judge(RewardModelParams(), JudgeContext(tmp_path / "both", tokens, CPU, 50))
    given = answers(tokens, 4)
    expected = [(alone(model, each) + alone(other, each)) / 2 for each in given]
    assert [verdict.score for verdict in judge.judge(given)] == pytest.approx(expected, abs=1e-5)
    assert not judge.deterministic


def test_a_model_of_another_tokenizer_reads_the_text(model, tokens, tmp_path):
    other = make_tokens(
        CharTokenizer(kind="char"),
        TemplateParams(),
        [("0123456789+ #!", None)],
        tmp_path / "other",
    )
    score_head.save(model, tokens, tmp_path / "model")
    judge = make_judge(RewardModelParams(), JudgeContext(tmp_path / "model", other, CPU, 50))
    given = answers(tokens, 4)
    elsewhere = [
        Response(record, tuple(other.encode_response(one.text)), one.text, True)
        for one, record in zip(given, (r for r in make_records(other, 4) for _ in range(2)), strict=True)
    ]
    assert [one.ids for one in elsewhere] != [one.ids for one in given]
    expected = [alone(model, each) for each in given]
    assert [verdict.score for verdict in judge.judge(elsewhere)] == pytest.approx(expected, abs=1e-5)
    [unreadable] = judge.judge([Response(elsewhere[0].record, (5,), "x", True)])
    assert unreadable.outcome == "error"
    assert "tokenizer cannot read it" in unreadable.reason
    judge.preflight(make_records(other, 4))
