"""Token entropies: their distribution, token types, overlap of the top share, change by percentile, and
decoding by entropy.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.entropy_tokens import (
    change_by_percentile,
    distribution,
    fork_probabilities,
    token_types,
    top_overlap,
)


def test_distribution():
    found = distribution(np.arange(101) / 100)
    assert found.n == 101
    assert found.mean == pytest.approx(0.5)
    assert list(found.percentiles) == list(range(0, 101, 5))
    assert list(found.percentiles.values()) == pytest.approx([place / 100 for place in range(0, 101, 5)])
    assert found.certain == 1 / 101
    assert found.threshold == pytest.approx(0.8)


def test_distribution_of_one_token_and_of_certain_ones():
    assert set(distribution([0.3]).percentiles.values()) == {0.3}
    assert distribution([0.0, 0.0, 0.0, 2.0]).certain == 0.75


@pytest.mark.parametrize(
    ("values", "words"),
    [([], "at least one token"), ([[0.1]], "flat list"), ([0.1, math.nan], "token 1 of 2")],
)
def test_what_has_no_distribution(values, words):
    with pytest.raises(ValueError, match=words):
        distribution(values)


def test_token_types_by_mean_entropy():
    ids = [7] * 3 + [2] * 3 + [5] * 4 + [9] * 2
    entropies = [0.3, 0.6, 0.9, 0.0, 0.1, 0.2, 1.0, 1.0, 1.0, 1.0, 5.0, 5.0]
    top, bottom = token_types(ids, entropies, above=2, show=2)
    assert [(one.token, one.count) for one in top] == [(5, 4), (7, 3)]
    assert [one.token for one in bottom] == [2, 7]
    assert [one.mean for one in top] == pytest.approx([1.0, 0.6])
    assert token_types(ids, entropies, above=3, show=2) == ([top[0]], [top[0]])  # more than three times
    assert token_types(ids, entropies) == ([], [])


def test_token_types_of_equal_means_stand_by_id():
    top, bottom = token_types([4, 1, 3], [0.5, 0.5, 0.5], above=0)
    assert [one.token for one in top] == [one.token for one in bottom] == [1, 3, 4]
    with pytest.raises(ValueError, match="one length"):
        token_types([4, 1], [0.5, 0.5, 0.5])


def scores(*top: int, n: int = 20) -> np.ndarray:
    """n scores, those at `top` the highest."""
    return np.isin(np.arange(n), top) + np.arange(n) / 1000


def test_identity_35_overlap_of_the_top_share():
    first, second = scores(1, 2, 3, 4), scores(2, 3, 4, 9)
    assert top_overlap(first, second).share == 0.75
    assert top_overlap(second, first).share == 0.75
    assert top_overlap(first, first).share == 1
    assert top_overlap(first, second).chance == 0.2


def test_identity_35_independent_scores_overlap_by_chance():
    draw = np.random.default_rng(0)
    found = top_overlap(draw.random(100_000), draw.random(100_000), 0.2)
    assert found.share == pytest.approx(0.2, abs=0.01)


def test_overlap_within_each_response():
    ours = [0.9, 0.1, 0.2, 0.3, 0.4, 5.0, 1.0, 2.0, 3.0, 4.0]
    theirs = [0.9, 0.1, 0.2, 0.3, 0.4, 1.0, 9.0, 2.0, 3.0, 4.0]
    assert top_overlap(ours, theirs, 0.2, [5, 0, 5]).share == 0.5  # the first agrees, the second does not
    assert top_overlap(ours, theirs, 0.2).share == 0.5  # pooled: {5, 9} and {6, 9}
    # ceil: above .2
    assert top_overlap(ours, theirs, 0.2, [3, 7]).chance == pytest.approx((1 / 3 + 2 / 7) / 2)


def test_overlap_of_what_is_not_the_same_tokens():
    for others, lengths in (([0.1], None), ([0.1, 0.2], [3])):
        with pytest.raises(ValueError, match="same tokens"):
            top_overlap([0.1, 0.2], others, lengths=lengths)
    with pytest.raises(ValueError, match="at most 1"):
        top_overlap([0.1], [0.1], share=20)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(0, 2**32 - 1), st.floats(0.01, 1))
def test_identity_35_overlap_is_symmetric_and_whole_with_itself(values, seed, share):
    other = np.random.default_rng(seed).permutation(values)
    assert top_overlap(values, other, share) == top_overlap(other, values, share)
    assert top_overlap(values, values, share).share == 1


def test_identity_35_twenty_bins_of_equal_counts():
    base = np.random.default_rng(0).permutation(np.arange(1000) / 1000)
    rows = change_by_percentile(base, 1.1 * base)
    assert [row.n for row in rows] == [50] * 20
    changes = [row.mean_change for row in rows]
    assert changes == sorted(changes)
    assert changes == pytest.approx([0.1 * row.mean_before for row in rows])
    assert rows[0].low == 0
    assert rows[-1].high == base.max()
    assert [row.high for row in rows[:-1]] == [row.low for row in rows[1:]]
    assert rows[3].low == pytest.approx(np.percentile(base, 15))


def test_change_is_signed_and_absolute():
    (row,) = change_by_percentile([0.1, 0.2, 0.3, 0.4], [0.2, 0.1, 0.3, 0.5], bins=1)
    assert (row.mean_change, row.mean_absolute_change) == pytest.approx((0.025, 0.075))
    assert row.share_positive == 0.5


def test_bins_of_tied_tokens_are_equally_full():
    assert [row.n for row in change_by_percentile([0.0] * 90 + [1.0] * 10, [0.0] * 100)] == [5] * 20


def test_bins_need_tokens():
    with pytest.raises(ValueError, match="20 bins of 19"):
        change_by_percentile([0.1] * 19, [0.1] * 19)
    with pytest.raises(ValueError, match="same tokens"):
        change_by_percentile([0.1] * 20, [0.1] * 21)


LOGITS = torch.tensor([[2.0, 1.0, 0.0], [5.0, 0.0, 0.0]], dtype=torch.float64)


def test_identity_36_the_temperature_goes_with_the_entropy():
    found = fork_probabilities(LOGITS, 0.672, high=2.0, low=0.5)
    assert found[0].tolist() == pytest.approx([0.50648, 0.30720, 0.18632], abs=5e-6)
    assert found[1].tolist() == pytest.approx([0.999909, 4.54e-5, 4.54e-5], abs=5e-7)


def test_identity_36_temperature_1_is_plain_sampling():
    assert torch.equal(
        fork_probabilities(LOGITS, 0.672, 1.0, 1.0), torch.softmax(LOGITS - LOGITS.amax(-1, keepdim=True), -1)
    )


def test_identity_36_temperature_0_is_argmax():
    logits = torch.tensor([[1.0, 2.0, 2.0], [5.0, 0.0, -math.inf]])
    assert fork_probabilities(logits, 0.672, 0.0, 0.0).tolist() == [[0, 1, 0], [1, 0, 0]]
    mixed = fork_probabilities(logits, 0.672, high=1.0, low=0.0)
    assert mixed[1].tolist() == [1, 0, 0]
    assert torch.equal(mixed[0], torch.softmax(logits[0], -1))


def test_identity_36_no_temperature_makes_it_overflow():
    found = fork_probabilities(
        torch.tensor([[3e4, 0.0, -math.inf]], dtype=torch.float16), 0.672, 1e-38, 1e-38
    )
    assert found.dtype == torch.float32
    assert found.tolist() == [[1, 0, 0]]
    with pytest.raises(ValueError, match="below 0"):
        fork_probabilities(LOGITS, 0.672, -1.0, 1.0)
