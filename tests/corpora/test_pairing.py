"""Judged samples to pairs: dpo_vs_ppo.md 4.2 (best against worst), dpo_vs_ppo.md 1.4 and 9.2.26 (programs),
and safety records.
"""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.preferences.pairing import (
    DATASET,
    Judged,
    make_pairs,
    make_safety_pairs,
    normalised_source,
)
from pipelines.corpora.preferences.pairing_params import BestWorst, CodeRule, PassFail


def judged(*scores, texts=None, **fields):
    """Samples whose score says whether they pass; None: the judge failed."""
    texts = texts or [f"answer {number}" for number in range(len(scores))]
    return [
        Judged(
            text,
            (number,),
            0.0 if score is None else score,
            None if score is None else score > 0.5,
            True,
            **fields,
        )
        for number, (score, text) in enumerate(zip(scores, texts, strict=True))
    ]


def programs(*passed):
    return judged(*map(float, passed), texts=[f"print({number})" for number in range(len(passed))])


def test_9_2_26_no_sample_passes_so_the_data_set_wins():
    pairs, counts = make_pairs("q", programs(0, 0, 0, 0, 0), CodeRule(), 0, solution="print(9)")
    assert [winner for winner, _ in pairs] == [DATASET, DATASET]
    assert len({loser for _, loser in pairs}) == 2
    assert counts == {"from_dataset": 1}


def test_9_2_26_all_samples_pass_so_there_is_no_pair():
    assert make_pairs("q", programs(1, 1, 1, 1, 1), CodeRule(), 0, solution="print(9)") == (
        [],
        Counter(no_failure=1),
    )


def test_9_2_26_two_samples_pass():
    for seed in range(20):
        pairs, counts = make_pairs("q", programs(0, 1, 0, 1, 0), CodeRule(), seed, solution="print(9)")
        assert len(set(pairs)) == 2
        assert all(winner in (1, 3) and loser in (0, 2, 4) for winner, loser in pairs)
        assert not counts


def test_1_4_programs_are_distinct_by_their_source():
    texts = ["x = 1  # one", "x=1", "x = 2", "x = (2)", "syntax error here ("]
    samples = judged(1.0, 1.0, 0.0, 0.0, 0.0, texts=texts)
    pairs, counts = make_pairs("q", samples, CodeRule(pairs=9), 0)
    assert pairs == [(0, 2), (0, 4)]
    assert counts == {"duplicate_text": 2}
    assert normalised_source("a (\n  b") == "a ( b"


def test_1_4_a_failing_copy_of_the_solution_does_not_lose_to_it():
    assert make_pairs("q", judged(0.0, texts=["x = 1"]), CodeRule(), 0, solution="x=1 # same") == (
        [],
        Counter(from_dataset=1, no_contrast=1),
    )
    assert make_pairs("q", judged(0.0, texts=["x = 1"]), CodeRule(), 0) == ([], Counter(no_solution=1))


def test_4_2_best_against_worst():
    assert make_pairs("q", judged(0.2, 0.9, -1.0, 0.9), BestWorst(), 0) == ([(1, 2)], Counter())


def test_4_2_a_gap_of_one_millionth_is_no_contrast():
    assert make_pairs("q", judged(0.0, 1e-6), BestWorst(), 0) == ([], Counter(small_gap=1))
    assert make_pairs("q", judged(0.0, 2e-6), BestWorst(), 0) == ([(1, 0)], Counter())
    assert make_pairs("q", judged(0.5, 1.4), BestWorst(gap=1.0), 0) == ([], Counter(small_gap=1))


def test_4_2_identical_text_is_out():
    assert make_pairs("q", judged(1.0, 0.0, texts=["same", "same "]), BestWorst(), 0) == (
        [],
        Counter(identical_text=1),
    )
    assert make_pairs("q", judged(1.0), BestWorst(), 0) == ([], Counter(no_contrast=1))


def test_a_response_that_was_cut_cannot_win_unless_allowed():
    cut = Judged("long", (1, 2), 5.0, True, False)
    samples = [cut, *judged(0.3, 0.1)]
    assert make_pairs("q", samples, BestWorst(), 0) == ([(1, 2)], Counter(unfinished_winner=1))
    assert make_pairs("q", samples, BestWorst(finished_winner=False), 0) == ([(0, 2)], Counter())
    assert make_pairs("q", samples, PassFail(), 0) == ([], Counter(unfinished_winner=1, no_contrast=1))


def test_what_the_judge_failed_on_is_in_no_pair():
    pairs, counts = make_pairs("q", judged(None, 1.0, None, 0.0), PassFail(pairs=9), 0)
    assert (pairs, counts) == ([(1, 3)], Counter(unjudged=2))
    nan = Judged("x", (1,), float("nan"), None, True)
    assert make_pairs("q", [nan, *judged(0.0, 1.0)], BestWorst(), 0) == ([(2, 1)], Counter(unjudged=1))


def test_a_text_that_passed_once_and_failed_once_proves_nothing():
    assert make_pairs("q", judged(1.0, 0.0, texts=["same", "same"]), PassFail(), 0) == (
        [],
        Counter(identical_text=1, no_contrast=1),
    )


def test_the_draw_is_uniform_and_depends_on_question_and_seed_alone():
    samples = judged(1.0, 1.0, 0.0, 0.0)
    draws = Counter(make_pairs(str(n), samples, PassFail(pairs=1), 3)[0][0] for n in range(2000))
    assert len(draws) == 4
    assert all(abs(number - 500) < 100 for number in draws.values())
    assert make_pairs("q", samples, PassFail(), 3) == make_pairs("q", samples, PassFail(), 3)


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([None, True, False])), max_size=8),
    st.integers(0, 5),
    st.integers(1, 4),
)
def test_every_pair_is_a_pass_against_another_failing_text(samples, seed, limit):
    items = [
        Judged(text, (place,), float(bool(passed)), passed, True)
        for place, (text, passed) in enumerate(samples)
    ]
    for how in (PassFail(pairs=limit), CodeRule(pairs=limit)):
        pairs, _ = make_pairs("q", items, how, seed)
        assert len(pairs) <= limit
        texts = [(items[winner].text, items[loser].text) for winner, loser in pairs]
        assert len(set(texts)) == len(texts)
        assert all(items[winner].passed and items[loser].passed is False for winner, loser in pairs)
        assert all(won != lost for won, lost in texts)


def test_safety_pairs_have_both_labels():
    right, wrong, unsafe, worse = (
        Judged("right", (1,), 1.0, True, True, True, 0.0),
        Judged("wrong", (2,), 0.0, False, True, True, 0.0),
        Judged("unsafe", (3,), 1.0, True, True, False, 1.0),
        Judged("worse", (4,), 0.0, False, True, False, 2.0),
    )
    pairs, counts = make_safety_pairs("q", [right, wrong, unsafe, worse], 99, 0)
    assert not counts
    assert set(pairs) == {
        (0, 1, True, True),  # no difference in safety: l_s follows l_h
        (0, 2, None, True),  # both right: only safety differs
        (0, 3, True, True),
        (2, 1, True, False),  # the right one is unsafe: the labels disagree
        (1, 3, None, True),
        (2, 3, True, True),
    }
    assert make_safety_pairs("q", [wrong, Judged("other", (9,), 0.0, False, True, True)], 9, 0) == (
        [],
        Counter(no_contrast=1),
    )
    assert make_safety_pairs("q", [right, Judged("right", (9,), 1.0, None, True, True)], 9, 0)[1] == {
        "unjudged": 1,
        "no_contrast": 1,
    }


@pytest.mark.parametrize("limit", [1, 2])
def test_safety_pairs_are_drawn(limit):
    samples = [Judged(str(n), (n,), float(n % 2), bool(n % 2), True, n % 3 > 0) for n in range(6)]
    pairs, _ = make_safety_pairs("q", samples, limit, 0)
    assert len(set(pairs)) == limit
