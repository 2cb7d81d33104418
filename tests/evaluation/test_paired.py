"""Paired differences: Tango's interval against the likelihood itself and published figures, exact tests
against scipy, and their symmetries.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest

from pipelines.evaluation.paired import Z, flipped_signs, mcnemar, paired_difference, tango


def score(gained: int, lost: int, n: int, delta: float) -> float:
    """The score statistic from its definition: the likelihood under `delta` is maximised numerically."""

    def minus_log_likelihood(q: float) -> float:
        counts = (gained, lost, n - gained - lost)
        shares = (q + delta, q, 1 - 2 * q - delta)
        return -sum(count * math.log(max(share, 1e-300)) for count, share in zip(counts, shares, strict=True))

    low, high = max(0.0, -delta), (1 - delta) / 2
    q = minimize_scalar(
        minus_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
    ).x
    return (gained - lost - n * delta) / math.sqrt(n * (2 * q + delta - delta**2))


@pytest.mark.parametrize("counts", [(7, 1, 21), (40, 20, 160), (3, 9, 14), (11, 0, 30), (2, 0, 50)])
def test_the_limits_are_where_the_score_test_begins_to_reject(counts: tuple[int, int, int]):
    low, high = tango(*counts)
    assert score(*counts, low) == pytest.approx(Z, abs=1e-3)
    assert score(*counts, high) == pytest.approx(-Z, abs=1e-3)


def test_published_interval():
    # Fagerland, Lydersen and Laake (2014), Statistics in Medicine 33, 2850-2875: airway hyper-responsiveness
    assert tango(1, 7, 21) == (pytest.approx(-0.517, abs=5e-4), pytest.approx(-0.026, abs=5e-4))


@pytest.mark.parametrize("counts", [(0, 0, 30), (30, 0, 30), (0, 5, 5), (0, 1, 1)])
def test_the_ends_stay_within_what_is_possible(counts: tuple[int, int, int]):
    low, high = tango(*counts)
    assert -1 <= low <= (counts[0] - counts[1]) / counts[2] <= high <= 1
    assert low < high


answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(answers)
def test_swapping_the_two_mirrors_the_difference(rows: list[tuple[bool, bool]]):
    after, before = ({str(i): float(row[side]) for i, row in enumerate(rows)} for side in (0, 1))
    one, other = paired_difference(after, before), paired_difference(before, after)
    assert one is not None
    assert other is not None
    assert (one.low, one.high) == (pytest.approx(-other.high, abs=1e-9), pytest.approx(-other.low, abs=1e-9))
    assert (one.gained, one.lost, one.p) == (other.lost, other.gained, other.p)
    assert one.low <= one.value <= one.high


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemars_p_is_that_of_the_binomial_test(gained: int, lost: int):
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(expected)


def test_mcnemars_p_of_many_questions():
    assert mcnemar(49_000, 51_000) == pytest.approx(math.erfc(1999 / math.sqrt(2 * 100_000)), rel=1e-4)


def test_only_questions_that_both_answered_count():
    found = paired_difference({"a": 1.0, "b": 1.0, "c": 0.0}, {"b": 0.0, "c": 0.0, "d": 1.0})
    assert found is not None
    assert (found.n, found.value, found.gained, found.lost) == (2, 0.5, 1, 0)
    assert paired_difference({"a": 1.0}, {"b": 1.0}) is None


def test_means_over_several_answers_are_resampled_by_question():
    draw = np.random.default_rng(1)
    hard = draw.random(300)
    before = {str(i): float(draw.binomial(4, share) / 4) for i, share in enumerate(hard)}
    after = {str(i): float(draw.binomial(4, min(1, share + 0.05)) / 4) for i, share in enumerate(hard)}
    found = paired_difference(after, before)
    assert found is not None
    differences = np.array([after[key] - before[key] for key in before])
    half = Z * differences.std() / math.sqrt(300)
    assert (found.low, found.high) == (
        pytest.approx(found.value - half, abs=0.004),
        pytest.approx(found.value + half, abs=0.004),
    )
    # the normal approximation of the randomisation test
    expected = math.erfc(abs(differences.sum()) / math.sqrt(2 * (differences**2).sum()))
    assert flipped_signs(differences) == pytest.approx(expected, abs=0.01)
