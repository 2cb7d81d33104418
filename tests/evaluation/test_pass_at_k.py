"""pass@k, k@n, problem-weighted averages: dpo_vs_ppo.md 9.2.23, 9.2.24 and 8.7."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.pass_at_k import mean_pass_at_k, pass_at_k, solved_k_at_n, submitted, weighted


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"), [(5, 1, 1, 0.2), (5, 1, 5, 1.0), (10, 3, 5, 0.916667), (10, 0, 5, 0.0)]
)
def test_identity_23(n, c, k, expected):
    assert pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-6)


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_equals_the_mean_over_all_submissions(case):
    n, correct, k = case
    submissions = list(combinations(range(n), k))
    assert pass_at_k(n, correct, k) == pytest.approx(
        sum(min(one) < correct for one in submissions) / len(submissions)
    )


@pytest.mark.parametrize("case", [(5, 6, 1), (5, 1, 6), (5, 1, 0), (5, -1, 1)])
def test_impossible_counts(case):
    with pytest.raises(ValueError, match="0 <= correct <= n"):
        pass_at_k(*case)


def test_identity_24():
    """3 survivors of which 1 passes hidden -> solved; 0 survivors -> unsolved even if hidden-correct samples
    exist.
    """
    public = [True, True, True] + [False] * 997
    hidden = [False, True, False] + [True] * 997
    assert solved_k_at_n(public, hidden, 10, 0, "p")
    assert not solved_k_at_n([False] * 1000, hidden, 10, 0, "p")


def test_hidden_tests_never_choose_the_submissions():
    """dpo_vs_ppo.md 9.1.20: of many survivors the k submitted are a random draw, so a single correct one is
    submitted in k of n cases.
    """
    hits = sum(
        solved_k_at_n([True] * 20, [place == 0 for place in range(20)], 5, 0, f"p{one}") for one in range(400)
    )
    assert 60 <= hits <= 140
    assert submitted([4, 2, 9], 5, 0, "p") == [2, 4, 9]
    assert (
        submitted(range(20), 5, 1, "p") == submitted(range(20), 5, 1, "p") != submitted(range(20), 5, 2, "p")
    )


def test_section_8_7_problem_weighted_average():
    assert weighted(
        {"intro": 36.4, "inter": 11.47, "comp": 4.6}, {"intro": 1000, "inter": 3000, "comp": 1000}
    ) == pytest.approx(15.082)
    with pytest.raises(ValueError, match="do not belong together"):
        weighted({"intro": 1.0}, {"comp": 3})


def test_mean_over_problems():
    assert mean_pass_at_k([(5, 1), (5, 0)], 1)["mean"] == pytest.approx(0.1)
