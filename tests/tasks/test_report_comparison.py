"""Newcombe's interval for the difference of two proportions, against his own worked numbers and its
symmetries.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.report_page.comparison import Accuracy, difference
from tests.tasks.report_results import accuracy


def counted(right: int, n: int) -> Accuracy:
    found = Accuracy.of(accuracy(right, n))
    assert found is not None
    return found


# Newcombe (1998), Statistics in Medicine 17, 873-890, table II, method 10
@pytest.mark.parametrize(
    ("after", "before", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0000),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((5, 56), (0, 29), -0.0381, 0.1926),
    ],
)
def test_published_intervals(after: tuple[int, int], before: tuple[int, int], low: float, high: float):
    found = difference(counted(*after), counted(*before))
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


pairs = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(pairs, pairs)
def test_swapping_the_two_mirrors_the_interval(first: tuple[int, int], second: tuple[int, int]):
    one, other = difference(counted(*first), counted(*second)), difference(counted(*second), counted(*first))
    assert one is not None
    assert other is not None
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))
    assert -1 - 1e-9 <= one.low <= one.value <= one.high <= 1 + 1e-9


@given(pairs)
def test_a_model_is_not_told_apart_from_itself(counts: tuple[int, int]):
    found = difference(counted(*counts), counted(*counts))
    assert found is not None
    assert found.reading == "not told apart"


def test_missing_rows_have_no_difference():
    assert difference(counted(3, 4), None) is None
    assert difference(Accuracy(0, 0, 0, None, None, None), counted(3, 4)) is None
