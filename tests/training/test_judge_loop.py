"""The policy loop against a judge that is a model: it learns what the model likes, and the exact checker says
what that is worth.
"""

import pytest
import torch
from pydantic import ValidationError

from pipelines.models import critic, score_head
from pipelines.models.packing import Segment
from pipelines.rewards.judge import RuleJudge
from pipelines.rewards.models.reward_model import RewardModelJudge
from pipelines.rewards.models.reward_model_params import RewardModelParams
from pipelines.rewards.rules import final_answer
from pipelines.rewards.scoring import CheckerFailed
from pipelines.rewards.verdict import Verdict, error
from pipelines.training.policy_params import PolicyParams
from tests.tiny import CPU, make_tiny_model, make_tiny_tokens
from tests.training.loops import Loop
from tests.training.stages import FLAT, METHODS

MODEL = {"reward": "reward_model", "checker": "final_answer"}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


class Nines:
    """A batch judge that likes nines: ids in, any score out."""

    deterministic, model = False, None

    def __init__(self):
        self.batches, self.tried = [], 0

    def judge(self, responses):
        self.batches.append(responses)
        return [
            Verdict("right" if "9" in each.text else "wrong", each.text.count("9") - 0.5)
            for each in responses
        ]

    def preflight(self, records):
        self.tried = len(records)


def test_a_model_gets_batches_of_ids_and_the_checker_validates(tokens, tmp_path):
    judge = Nines()
    loop = Loop(
        tmp_path, tokens, FLAT | MODEL | {"validation_every": 2}, judge=judge, checker=RuleJudge(final_answer)
    )
    rows = loop.run()
    assert judge.tried == 40
    assert [len(batch) for batch in judge.batches] == [10, 32, 32, 10], (
        "validation, two iterations, validation"
    )
    for each in (each for batch in judge.batches for each in batch):
        assert each.text == tokens.decode(each.ids)
        assert each.finished == (each.ids[-1] == tokens.eos_id)
    trained = [verdict.score for batch in judge.batches[1:2] for verdict in Nines().judge(batch)]
    assert rows[1]["reward"] == pytest.approx(sum(trained) / 32)
    assert rows[1]["accuracy"] == sum(score > 0 for score in trained) / 32
    shown = [verdict.score for verdict in Nines().judge(judge.batches[-1])]
    assert rows[-1]["validation_reward"] == pytest.approx(sum(shown) / 10)
    assert {"validation_greedy", "validation_sampled"} <= set(rows[0]) & set(rows[-1])


def test_without_a_checker_there_is_no_accuracy_but_a_reward(tokens, tmp_path):
    rows = Loop(
        tmp_path, tokens, FLAT | {"reward": "reward_model", "validation_every": 2}, judge=Nines()
    ).run()
    assert "validation_reward" in rows[0]
    assert not {"validation_greedy", "validation_sampled"} & set(rows[0])


def test_a_rule_has_no_second_reward(tokens, tmp_path):
    assert "validation_reward" not in Loop(tmp_path, tokens, FLAT | {"validation_every": 2}).run()[0]


def test_too_many_errors_of_a_model_stop_the_loop(tokens, tmp_path):
    judge = Nines()
    judge.judge = lambda responses: [error("the reward model gives nan")] * len(responses)
    with pytest.raises(CheckerFailed, match=r"32 of 32 verdicts.*the reward model gives nan"):
        Loop(tmp_path, tokens, FLAT | MODEL, judge=judge, checker=RuleJudge(final_answer)).run()


def test_ppo_raises_what_a_reward_model_likes(tokens, tmp_path):
    """A reward model whose head reads the embedding of nine: the loop must find it, from ids alone, and clip
    its scores.
    """
    scorer = score_head.make(make_tiny_model(tokens, 2), 1)
    nine = tokens.encode_response("9")[0]
    with torch.no_grad():
        # a backbone that passes embeddings through, so that the score is that of the last token
        for layer in scorer.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        scorer.score.weight.copy_(30 * scorer.model.embed_tokens.weight[nine])
    seen = []

    class Last(RewardModelJudge):
        """Reads the token before the end token, which is what the policy can choose."""

        def judge(self, responses):
            short = [
                type(each)(each.record, each.ids[:-1] or each.ids, each.text, each.finished)
                for each in responses
            ]
            verdicts = super().judge(short)
            seen.extend(verdict.score for verdict in verdicts)
            return verdicts

    judge = Last(scorer, tokens.eos_id, RewardModelParams(clip=2.0), CPU, 500)
    settings = (
        METHODS["ppo"]
        | MODEL
        | {"iterations": 10, "critic": {"warmup": 0}, "optimiser": {"learning_rate": 5e-3}}
    )
    rows = Loop(tmp_path, tokens, settings, judge=judge, checker=RuleJudge(final_answer)).run()
    before, after = (sum(row["reward"] for row in part) / 3 for part in (rows[:3], rows[-3:]))
    assert after > before + 0.5
    assert all(abs(row["reward"]) <= 2 for row in rows)
    # Not the share of nines: other tokens lie near enough to reach the clip as well, and any of them may be
    # found first.
    assert sum(score > 1.5 for score in seen[-72:]) > 2 * sum(score > 1.5 for score in seen[:72])


def test_a_critic_starts_from_a_reward_model_with_its_head(tokens):
    """dpo_vs_ppo.md 3.1: the first value after a response is the reward model's score of it."""
    scorer = score_head.make(make_tiny_model(tokens, 2), 1)
    made = critic.make(scorer)
    rows = [Segment(((4, 5, 6),), (7, 8, 1)), Segment(((4, 5),), (9, 1))]
    after = critic.score_values(made, rows).after
    torch.testing.assert_close(after, score_head.score_ends(scorer, rows))
    ensemble = critic.make(
        score_head.RewardEnsemble([scorer, score_head.make(make_tiny_model(tokens, 3), 2)])
    )
    torch.testing.assert_close(critic.score_values(ensemble, rows).after, after)
    with torch.no_grad():
        made.head.weight.zero_()
    assert scorer.score.weight.any(), "the critic's is a copy"


def test_a_critic_cannot_start_from_a_model_that_is_not_there():
    with pytest.raises(
        ValidationError, match=r"critic.init reward_model needs a reward model, reward is final_answer"
    ):
        PolicyParams.model_validate(METHODS["ppo"] | {"critic": {"init": "reward_model"}})
    PolicyParams.model_validate(
        METHODS["ppo"] | {"reward": "reward_model", "critic": {"init": "reward_model"}}
    )
