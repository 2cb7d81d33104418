"""Rounds of preferences: the policy's own samples, judged and paired (dpo_vs_ppo.md 4.2), with a count for
all that is left out.
"""

import math

import pytest
from pydantic import ValidationError

from pipelines.corpora.pairs.sampled import Sampled, preferences
from pipelines.corpora.pairs.sampled_params import SampledParams
from pipelines.corpora.preferences.pair import write_pair_examples
from pipelines.corpora.preferences.pairing import Judged
from pipelines.corpora.preferences.pairing_params import BestWorst, CodeRule, PassFail
from pipelines.corpora.preferences.preference_set import PreferenceSets, SourceItems
from pipelines.corpora.records.pair_tokens import read_pairs
from pipelines.models import score_head
from pipelines.rewards.judge import RuleJudge
from pipelines.rewards.models.reward_model import RewardModelJudge
from pipelines.rewards.models.reward_model_params import RewardModelParams
from pipelines.rewards.rules import final_answer
from pipelines.rewards.scoring import CheckerFailed
from pipelines.rewards.verdict import error
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.training.preference_rounds import figures, sample_and_judge
from tasks.preferences_params import PreferenceSet
from tests.corpora.pairs_made import build_and_tokenise
from tests.text_files import RULES
from tests.tiny import CPU, make_records, make_tiny_model, make_tiny_tokens
from tests.training.stages import make_half_able_model

SAMPLING = SamplingParams(max_new_tokens=8)
OPEN = {"near": None, "decontaminate": {"ngram": None, "near": False}, "validation_share": 0.0}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="module")
def engine(tokens):
    return LocalEngine(make_half_able_model(tokens), tokens, CPU)


@pytest.fixture(scope="module")
def scored(tokens):
    scorer = score_head.make(make_tiny_model(tokens, 2), 1)
    return RewardModelJudge(scorer, tokens.eos_id, RewardModelParams(), CPU, 500)


@pytest.fixture(scope="module")
def records(tokens):
    return make_records(tokens, 20)


def sample(engine, tokens, judge, records, iteration=1, share=0.0):
    return sample_and_judge(engine, tokens, judge, records, 4, SAMPLING, 0, iteration, share)


def round_pairs(tokens, records, judged, how, max_tokens=64) -> PreferenceSets:
    """What the stage makes of judged samples."""
    prompts = [
        Sampled(record.id, record.prompt, tuple(own), solution=record.response)
        for record, own in zip(records, judged, strict=True)
    ]
    found, counts = preferences(prompts, SampledParams(pairing=how.model_dump()), "round", 0)
    limits = {"max_prompt_tokens": max_tokens - 1, "max_answer_tokens": max_tokens, "max_tokens": max_tokens}
    settings = PreferenceSet.model_validate(
        {"origin": "models/sft/model", "data": "tiny", "source": {"kind": "sampled"}, **OPEN, **limits}
    )
    return build_and_tokenise("round", settings, SourceItems(found, pairing=counts), tokens, {}, 0)


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
        made = round_pairs(tokens, records, judged, how)
        assert made.pairs["train"]
        assert made.metrics["pairing"]["unjudged"] == 27
        assert all(not math.isnan(score) for pair in made.pairs["train"] for score in pair.meta["scores"])
    with pytest.raises(CheckerFailed, match="27 of 80 verdicts are errors"):
        sample(engine, tokens, Sometimes(final_answer), records, share=0.3)


# -- pairs ---------------------------------------------------------------------------------------------------


def test_best_against_worst_with_every_filter_counted(tokens, records):
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
    made = round_pairs(tokens, records[:8], judged, BestWorst(), 20)
    prompts = {record.prompt: place for place, record in enumerate(records[:8])}
    found = sorted((prompts[pair.prompt], pair.chosen, pair.rejected) for pair in made.pairs["train"])
    assert found == [(0, "b", "c"), (7, "b", "a")]
    assert {"scores": [3.0, -2.0]} in [pair.meta for pair in made.pairs["train"]]
    assert made.metrics["pairing"] == {
        "prompts": 8,
        "samples": 32,
        "pairs": 4,
        "prompts_with_pairs": 4,
        "small_gap": 1,
        "identical_text": 1,
        "unfinished_winner": 5,
        "no_contrast": 2,
        "unjudged": 3,
    }
    assert made.metrics["removed"] == {"too_long": 1, "equal_tokens": 1}
    assert made.metrics["cut"] == {"chosen": 0, "rejected": 0}


def test_the_gap_is_a_threshold(tokens, records):
    judged = [[one("a", 0.0), one("b", 1.0)], [one("a", 0.0), one("b", 1.01)]]
    made = round_pairs(tokens, records[:2], judged, BestWorst(gap=1.0))
    assert [pair.prompt for pair in made.pairs["train"]] == [records[1].prompt]


def test_code_takes_the_data_sets_solution_where_nothing_passes(tokens, records):
    """dpo_vs_ppo.md 9.2.26."""
    texts = [f"x = {number}" for number in range(5)]
    judged = [
        [one(text, 0.0, False) for text in texts],
        [one(text, 10.0, True) for text in texts],
        [one(text, 10.0 * (index < 2), index < 2) for index, text in enumerate(texts)],
    ]
    made = round_pairs(tokens, records[:3], judged, CodeRule(pairs=2))
    by_prompt = {record.prompt: [] for record in records[:3]}
    for pair in made.pairs["train"]:
        by_prompt[pair.prompt].append(pair)
    own, none, both = by_prompt.values()
    assert len(own) == 2
    for pair in own:
        assert (pair.chosen, pair.chosen_ids) == (records[0].response, records[0].response_ids)
        assert pair.meta == {"from_dataset": True}
    assert not none
    assert len(both) == 2
    assert all(pair.chosen in texts[:2] and pair.rejected in texts[2:] for pair in both)
    assert made.metrics["pairing"]["from_dataset"] == 1
    assert made.metrics["pairing"]["no_failure"] == 1


def test_a_round_end_to_end_is_repeatable_and_readable(engine, tokens, scored, records, tmp_path):
    rounds = [
        round_pairs(tokens, records, sample(engine, tokens, scored, records), BestWorst()) for _ in range(2)
    ]
    assert rounds[0] == rounds[1]
    pairs = rounds[0].pairs["train"]
    assert pairs
    write_pair_examples(tmp_path / "train.jsonl", rounds[0].texts.pairs["train"])
    RULES.write(tmp_path)
    assert read_pairs(tmp_path, "train", tokens).pairs == pairs
    by_prompt = {record.prompt: record for record in records}
    for pair in pairs:
        assert pair.prompt_ids == by_prompt[pair.prompt].prompt_ids
        assert pair.chosen_ids[-1] == tokens.eos_id
        assert pair.meta["scores"][0] > pair.meta["scores"][1]


# -- parameters ----------------------------------------------------------------------------------------------


def test_defaults_are_those_of_the_specification():
    """dpo_vs_ppo.md 4.2: n 4, best against worst, gap 1e-6, temperature 1, top-k 200, 256 new tokens, the
    reward model's score.
    """
    source = {"kind": "sampled", "reward": "reward_model", "pairing": {"kind": "best_worst"}}
    settings = {"origin": "models/sft/model", "data": "exam", "judge": "judge", "source": source}
    params = PreferenceSet.model_validate(settings).source
    assert (params.samples, params.pairing, params.pairing.gap) == (4, BestWorst(), 1e-6)
    assert (params.sampling.temperature, params.sampling.top_k, params.sampling.max_new_tokens) == (
        1.0,
        200,
        256,
    )
    assert params.reward == RewardModelParams(model="judge")
    with pytest.raises(ValidationError, match="greater than 0"):
        PreferenceSet.model_validate({**settings, "source": {**source, "sampling": {"temperature": 0}}})


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
