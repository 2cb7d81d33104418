"""Wilson intervals against published numbers, and accuracy with errors and repeated answers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pipelines.corpora.records.record import Record
from pipelines.evaluation.accuracy import accuracy, by_key, graded, mean_score, wilson
from pipelines.evaluation.answers import Answer, evenly_spaced
from pipelines.rewards.verdict import Verdict, error, right, wrong
from pipelines.rollouts.forest import Completion, Finish


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # Newcombe 1998, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_published_intervals(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_mirrors(pair):
    successes, n = pair
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low))


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_whole_counts_agree_with_scipy(pair):
    theirs = binomtest(*pair).proportion_ci(method="wilson")
    assert wilson(*pair) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_nothing_known():
    assert wilson(0, 0) == (0.0, 1.0)


def answer(number, verdict, subject="sum", level=1):
    record = Record(f"r{number}", "1+1", None, "2", subject, level, "tiny", [4], None)
    return Answer(record, Completion([1], torch.zeros(1), torch.zeros(1), Finish.EOS), "", verdict)


def test_errors_are_left_out_or_counted_as_configured():
    answers = [answer(0, right()), answer(1, wrong("no")), answer(2, error("judge")), answer(3, right())]
    assert accuracy(answers, False) | {"low": 0, "high": 0} == {
        "n": 3,
        "right": 2,
        "errors": 1,
        "accuracy": 2 / 3,
        "low": 0,
        "high": 0,
    }
    assert accuracy(answers, True)["accuracy"] == 0.5
    assert accuracy(answers, True)["errors"] == 1
    assert (accuracy(answers, True)["low"], accuracy(answers, True)["high"]) == wilson(2, 4)


def test_repeated_answers_do_not_narrow_the_interval():
    answers = [answer(index % 10, right() if index % 2 else wrong("no")) for index in range(160)]
    figures = accuracy(answers, False)
    assert figures["n"] == 160
    assert (figures["low"], figures["high"]) == wilson(5, 10)


def test_tables_by_subject_and_level():
    greedy = [answer(0, right(), "a", 1), answer(1, wrong("no"), "b", None)]
    sampled = [answer(0, wrong("no"), "a", 1), answer(1, right(), "b", None)]
    by_subject = by_key(greedy, sampled, lambda one: one.record.subject, False)
    assert list(by_subject) == ["a", "b"]
    assert by_subject["a"]["greedy"]["accuracy"] == 1
    assert by_subject["a"]["sampled"]["accuracy"] == 0
    assert list(by_key(greedy, sampled, lambda one: one.record.level, False)) == ["1"]


def test_a_limit_spreads_over_the_file():
    records = [answer(index, right()).record for index in range(10)]
    assert [record.id for record in evenly_spaced(records, 4)] == ["r0", "r2", "r5", "r7"]
    assert evenly_spaced(records, 0) == records == evenly_spaced(records, 11)


def test_a_mean_score_is_told_where_a_judge_gives_more_than_right_and_wrong():
    def answered(*verdicts):
        return [Answer(None, None, "", verdict) for verdict in verdicts]

    plain, half = answered(right(), wrong("no"), error("?")), answered(Verdict("right", 0.75), error("?"))
    assert not graded({"greedy": plain, "sampled": []})
    assert graded({"greedy": plain, "sampled": half})
    assert (mean_score(half, False), mean_score(half, True), mean_score([], True)) == (0.75, 0.375, None)
