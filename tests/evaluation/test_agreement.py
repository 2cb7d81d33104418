"""Agreement of verdicts and labels: the worked numbers of reward_bridge.md 9.15, 9.16, 9.18, 9.19, and
scikit-learn beside ours.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from pipelines.evaluation.agreement import (
    JudgedAnswer,
    ac1,
    agreement,
    by_subject,
    ece_equal_mass,
    fleiss,
    kappa,
    mcnemar,
)


def rows(*table):
    """(hit, false accept, false reject, reject) counts -> judgements, a question each."""
    kinds = [(1, 1), (0, 1), (1, 0), (0, 0)]
    return [
        JudgedAnswer(f"{kind}.{n}", *kind)
        for kind, count in zip(kinds, table, strict=True)
        for n in range(count)
    ]


def test_kappa_of_a_table_item_15():
    assert kappa(40, 10, 5, 45) == (pytest.approx(0.70), False)
    assert kappa(90, 5, 5, 0) == (pytest.approx(-0.05263, abs=1e-5), False)
    assert ac1(90, 5, 5, 0) == pytest.approx(0.8895, abs=1e-4)


def test_a_judge_that_always_refuses_item_15():
    figures = agreement(rows(0, 0, 30, 70))
    assert figures["accuracy"] == pytest.approx(0.70)
    assert figures["kappa"] == 0


def test_where_kappa_is_undefined_it_is_zero_with_a_flag_item_15():
    figures = agreement(rows(8, 0, 0, 0))
    assert (figures["kappa"], figures["degenerate"]) == (0, True)
    assert figures["kappa_low"] == figures["kappa_high"] == 0


def test_fleiss_item_16():
    assert fleiss([3, 2, 0, 1], 3) == pytest.approx(1 / 3)
    assert fleiss([3, 3], 3) == 1
    with pytest.raises(ValueError, match="at least 2 raters"):
        fleiss([1], 1)


def test_auroc_and_ties_item_18():
    judged = [
        JudgedAnswer(n, label, None, p)
        for n, (label, p) in enumerate([(1, 0.9), (1, 0.6), (0, 0.6), (0, 0.2)])
    ]
    assert agreement(judged)["auroc"] == pytest.approx(0.875)
    tied = [JudgedAnswer(n, n % 2, None, 0.5) for n in range(6)]
    assert agreement(tied)["auroc"] == 0.5


def test_calibration_error_and_brier_item_19():
    label, probability = np.array([1.0, 0, 0, 0]), np.array([0.9, 0.8, 0.3, 0.1])
    assert ece_equal_mass(label, probability, 2) == pytest.approx(0.275)
    judged = [
        JudgedAnswer(n, int(one), int(p > 0.5), p)
        for n, (one, p) in enumerate(zip(label, probability, strict=True))
    ]
    assert agreement(judged)["brier"] == pytest.approx(0.1875)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=60))
def test_kappa_is_scikit_learns(pairs):
    label, said = zip(*pairs, strict=True)
    judged = [JudgedAnswer(n, *pair) for n, pair in enumerate(pairs)]
    figures = agreement(judged)
    if not figures["degenerate"]:
        assert figures["kappa"] == pytest.approx(cohen_kappa_score(label, said))
    assert figures["kappa_low"] <= figures["kappa_high"]


def test_responses_of_one_question_are_no_independent_draws():
    """The same table from few questions says less: its interval is wider."""
    apart = [JudgedAnswer(n, n % 2, int(n % 2 and n % 10 != 1)) for n in range(400)]
    together = [JudgedAnswer(n % 10, row.label, row.verdict) for n, row in enumerate(apart)]
    wide, narrow = agreement(together), agreement(apart)
    assert wide["kappa"] == narrow["kappa"]
    assert wide["kappa_high"] - wide["kappa_low"] > narrow["kappa_high"] - narrow["kappa_low"]


def test_no_verdict_counts_as_a_refusal_and_is_reported():
    figures = agreement(
        [JudgedAnswer(0, 1, None), JudgedAnswer(1, 0, None), JudgedAnswer(2, 1, 1), JudgedAnswer(3, 0, 0)]
    )
    assert figures["unparsed"] == 0.5
    assert figures["confusion"] == {"true_accept": 1, "false_accept": 0, "false_reject": 1, "true_reject": 2}


def test_two_verifiers_on_the_same_items():
    assert mcnemar([True] * 10, [True] * 10)["p"] == 1
    found = mcnemar([True] * 20 + [False] * 2, [False] * 12 + [True] * 10)
    assert (found["only_first"], found["only_second"]) == (12, 2)
    assert found["p"] == pytest.approx(2 * sum([1, 14, 91]) / 2**14)


def test_by_subject():
    judged = [
        JudgedAnswer(0, 1, 1, subject="law"),
        JudgedAnswer(1, 0, 1, subject="law"),
        JudgedAnswer(2, 1, 1, subject="art"),
    ]
    found = by_subject(judged)
    assert list(found) == ["art", "law"]
    assert found["law"]["false_accept"] == 1


@pytest.mark.parametrize(
    ("judged", "said"),
    [
        ([], "no judgements"),
        ([JudgedAnswer("q7", 2, 1)], r"row 0 \(q7\): label 2"),
        ([JudgedAnswer("q7", 1, 1, float("nan"))], r"row 0 \(q7\): probability nan"),
    ],
)
def test_bad_rows_are_named(judged, said):
    with pytest.raises(ValueError, match=said):
        agreement(judged)
