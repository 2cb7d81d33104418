"""Rounds of preferences: the policy's own samples, judged and paired (dpo_vs_ppo.md 4.2), with a count for
all that is left out.
"""

import math

import pytest
from pydantic import ValidationError

from pipelines.corpora.pair import read_pairs, write_pairs
from pipelines.corpora.pairing import Judged
from pipelines.corpora.pairing_params import BestWorst, CodeRule, PassFail
from pipelines.models import reward_model
from pipelines.rewards.judge import RuleJudge
from pipelines.rewards.models.reward_model import RewardModelJudge
from pipelines.rewards.models.reward_model_params import RewardModelParams
from pipelines.rewards.rules import final_answer
from pipelines.rewards.scoring import CheckerFailed
from pipelines.rewards.verdict import error
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.training.preference_rounds import figures, round_pairs, sample_and_judge
from pipelines.training.preference_rounds_params import RoundParams, RoundSampling
from tests.tiny import CPU, make_records, make_tiny_model, make_tiny_tokens
from tests.training.stages import make_half_able_model

SAMPLING = RoundSampling(max_new_tokens=8)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="module")
def engine(tokens):
    return LocalEngine(make_half_able_model(tokens), tokens, CPU)


@pytest.fixture(scope="module")
def scored(tokens):
    scorer = reward_model.make(make_tiny_model(tokens, 2), 1)
    return RewardModelJudge(scorer, tokens.eos_id, RewardModelParams(), CPU, 500)


@pytest.fixture(scope="module")
def records(tokens):
    return make_records(tokens, 20)


def sample(engine, tokens, judge, records, iteration=1, share=0.0):
    return sample_and_judge(engine, tokens, judge, records, 4, SAMPLING, 0, iteration, share)


def one(text, score, passed=True, finished=True, ids=None):
    return Judged(text, ids or tuple(ord(letter) for letter in text), score, passed, finished)


# -- sampling and judging ------------------------------------------------------------------------------------


def test_samples_are_the_policys_own_and_judged_in_order(engine, tokens, scored, records):
    judged = sample(engine, tokens, scored, records)
    assert [len(own) for own in judged] == [4] * 20
    flat = [each for own in judged for each in own]
    assert all(each.text == tokens.decode(each.ids) for each in flat)
    assert all(each.finished == (each.ids[-1] == tokens.eos_id) for each in flat)
    assert all(each.score == 0 and not each.passed for each in flat if not each.finished), (
        "cut responses score 0"
    )
    assert len({each.score for each in flat if each.finished}) > 10
    assert all(each.passed == (each.score > 0) for each in flat if each.finished)
    assert figures(judged)["reward"] == pytest.approx(sum(each.score for each in flat) / 80)


def test_samples_do_not_depend_on_the_portions_but_on_the_round(engine, tokens, records):
    judge = RuleJudge(final_answer)
    whole = sample(engine, tokens, judge, records)
    assert sample(engine, tokens, judge, records[:7]) + sample(engine, tokens, judge, records[7:]) == whole
    assert sample(engine, tokens, judge, records, iteration=2) != whole
    assert 0 < figures(whole)["accuracy"] < 1
    assert figures([])["errors"] == 0


def test_an_error_of_the_judge_is_in_no_pair(engine, tokens, records):
    class Sometimes(RuleJudge):
        def judge(self, responses):
            found = super().judge(responses)
            return [error("down") if index % 3 == 0 else verdict for index, verdict in enumerate(found)]

    judged = sample(engine, tokens, Sometimes(final_answer), records, share=0.5)
    lost = [each for own in judged for each in own if each.passed is None]
    assert len(lost) == figures(judged)["errors"] == 27
    assert all(math.isnan(each.score) for each in lost)
    for how in (BestWorst(), PassFail(pairs=4)):
        made = round_pairs(records, judged, how, 0, "round", 64)
        assert made.pairs
        assert made.counts["unjudged"] == 27
        assert all(not math.isnan(score) for pair in made.pairs for score in pair.meta["scores"])
    with pytest.raises(CheckerFailed, match="27 of 80 verdicts are errors"):
        sample(engine, tokens, Sometimes(final_answer), records, share=0.3)


# -- pairs ---------------------------------------------------------------------------------------------------


def test_best_against_worst_with_every_filter_counted(records):
    """dpo_vs_ppo.md 4.2: best against worst, pairs with a gap of at most 1e-6 or identical text out; too long
    ones as well.
    """
    judged = [
        [one("a", 1.0), one("b", 3.0), one("c", -2.0), one("d", 0.0)],  # b beats c
        [one("a", 1.0), one("b", 1.0 + 5e-7), one("c", 1.0), one("d", 1.0)],  # gap
        # the same text; blanks would tell them apart
        [one("a", 1.0), one("a", 0.0), one("a", 0.5), one("a", 0.7)],
        [one("a", 1.0, finished=False)] * 4,  # nothing that may win
        [one("a", math.nan, None)] * 3 + [one("b", 1.0)],  # one judged response is no contrast
        [one("a" * 30, 1.0), one("b", 3.0), one("c", 2.0), one("d", 2.0)],  # the loser is too long
        # differ as text alone
        [one("a", 1.0, ids=(7,)), one("b", 3.0, ids=(7,)), one("c", 2.0), one("d", 2.0)],
        # a cut one can lose
        [one("a", 0.0, False, finished=False), one("b", 3.0), one("c", 1.0), one("d", 1.0)],
    ]
    made = round_pairs(records[:8], judged, BestWorst(), 0, "round 1", 20)
    assert [(pair.id, pair.chosen, pair.rejected) for pair in made.pairs] == [
        ("round 1:sum:0:0", "b", "c"),
        ("round 1:sum:7:0", "b", "a"),
    ]
    assert made.pairs[0].meta == {"scores": [3.0, -2.0]}
    assert +made.counts == {
        "prompts": 8,
        "samples": 32,
        "pairs": 2,
        "prompts_with_pairs": 2,
        "small_gap": 1,
        "identical_text": 1,
        "unfinished_winner": 5,
        "no_contrast": 2,
        "unjudged": 3,
        "too_long": 1,
        "equal_tokens": 1,
    }


def test_the_gap_is_a_threshold(records):
    judged = [[one("a", 0.0), one("b", 1.0)], [one("a", 0.0), one("b", 1.01)]]
    made = round_pairs(records[:2], judged, BestWorst(gap=1.0), 0, "round", 64)
    assert [pair.id for pair in made.pairs] == ["round:sum:1:0"]


def test_code_takes_the_data_sets_solution_where_nothing_passes(records):
    """dpo_vs_ppo.md 9.2.26."""
    texts = [f"x = {number}" for number in range(5)]
    judged = [
        [one(text, 0.0, False) for text in texts],
        [one(text, 10.0, True) for text in texts],
        [one(text, 10.0 * (index < 2), index < 2) for index, text in enumerate(texts)],
    ]
    made = round_pairs(records[:3], judged, CodeRule(pairs=2), 0, "round", 64)
    first, *others = [pair for pair in made.pairs if pair.id.startswith("round:sum:0")]
    assert (first.chosen, first.chosen_ids, first.meta) == (
        records[0].response,
        records[0].response_ids,
        {"from_dataset": True},
    )
    assert all(pair.chosen == records[0].response for pair in others)
    assert not [pair for pair in made.pairs if ":sum:1:" in pair.id]
    both = [pair for pair in made.pairs if ":sum:2:" in pair.id]
    assert len(both) == 2
    assert all(pair.chosen in texts[:2] and pair.rejected in texts[2:] for pair in both)
    assert made.counts["from_dataset"] == 1
    assert made.counts["no_failure"] == 1


def test_a_round_end_to_end_is_repeatable_and_readable(engine, tokens, scored, records, tmp_path):
    rounds = [
        round_pairs(records, sample(engine, tokens, scored, records), BestWorst(), 0, "dpo_iter_1", 64)
        for _ in range(2)
    ]
    assert rounds[0] == rounds[1]
    assert rounds[0].pairs
    write_pairs(tmp_path / "pairs.jsonl", rounds[0].pairs)
    assert read_pairs(tmp_path / "pairs.jsonl") == rounds[0].pairs
    by_id = {record.id: record for record in records}
    for pair in rounds[0].pairs:
        assert pair.prompt_ids == by_id[pair.id.removeprefix("dpo_iter_1:").rpartition(":")[0]].prompt_ids
        assert pair.chosen_ids[-1] == tokens.eos_id
        assert pair.meta["scores"][0] > pair.meta["scores"][1]


# -- parameters ----------------------------------------------------------------------------------------------


def test_defaults_are_those_of_the_specification():
    """dpo_vs_ppo.md 4.2: n 4, best against worst, gap 1e-6, temperature 1, top-k 200, 256 new tokens, the
    reward model's score.
    """
    params = RoundParams()
    assert (params.samples, params.pairing, params.pairing.gap) == (4, BestWorst(), 1e-6)
    assert (params.sampling.temperature, params.sampling.top_k, params.sampling.max_new_tokens) == (
        1.0,
        200,
        256,
    )
    assert params.reward == RewardModelParams()
    with pytest.raises(ValidationError, match="greater than 0"):
        RoundParams(sampling={"temperature": 0})
    assert RoundParams(reward="final_answer", pairing={"kind": "pass_fail"}).reward.kind == "final_answer"


def test_figures_leave_errors_out():
    found = figures(
        [
            [one("a", 2.0), one("b", 0.0, False)],
            [one("cc", math.nan, None), one("d", 1.0, True, finished=False)],
        ]
    )
    assert found == {
        "reward": 1.0,
        "accuracy": pytest.approx(2 / 3),
        "finished": 0.75,
        "length": 1.25,
        "errors": 1,
    }
