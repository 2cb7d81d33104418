"""One denominator: entropy.md 7.15 and 7.17, spo.md 10.19, dpo_vs_ppo.md 9.2.22."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.objectives.aggregation import sequence_weights


def total(losses, aggregation, divisor=None):
    weights = sequence_weights([len(part) for part in losses], aggregation, divisor)
    return sum(weight * sum(part) for weight, part in zip(weights, losses, strict=True))


def test_worked_numbers():
    """entropy.md 7.15; spo.md 10.19: -.5 by tokens, not 0 by sequences; dpo_vs_ppo.md 9.2.22: .6, not 0."""
    assert total([[2.0], [1.0, 1.0, 1.0]], "token_mean") == pytest.approx(1.25)
    assert total([[2.0], [1.0, 1.0, 1.0]], "seq_mean_token_mean") == pytest.approx(1.5)
    assert total([[2.0], [1.0, 1.0, 1.0]], "seq_mean_token_sum") == pytest.approx(2.5)
    assert total([[2.0], [1.0, 1.0, 1.0]], "seq_mean_token_sum_norm", 10) == pytest.approx(0.25)
    assert total([[-1.0] * 3, [1.0]], "token_mean") == pytest.approx(-0.5)
    assert total([[-1.0] * 3, [1.0]], "seq_mean_token_mean") == pytest.approx(0.0)
    assert total([[1.0] * 4, [-1.0]], "token_mean") == pytest.approx(0.6)
    assert total([[1.0] * 4, [-1.0]], "seq_mean_token_mean") == pytest.approx(0.0)


def test_two_ranks_share_a_denominator():
    """entropy.md 7.17: kept sums 4 and 6, kept counts 2 and 6: 1.25, where the mean of rank means would be
    1.5.
    """
    ranks = [[2.0, 2.0], [1.0] * 6]
    weights = sequence_weights([len(part) for part in ranks], "token_mean")
    assert weights[0] * sum(ranks[0]) + weights[1] * sum(ranks[1]) == pytest.approx(1.25)


def test_a_constant_divisor_must_be_given():
    with pytest.raises(ValueError, match="constant"):
        sequence_weights([1], "seq_mean_token_sum_norm")


def test_sequences_without_tokens_and_batches_without_any():
    assert sequence_weights([2, 0], "token_mean") == [0.5, 0.5]
    assert sequence_weights([2, 0], "seq_mean_token_mean") == [0.25, 0.0]
    for aggregation in ("token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "seq_mean_token_sum_norm"):
        assert total([[], []], aggregation, 8) == 0.0


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=10),
    st.sampled_from(["token_mean", "seq_mean_token_mean"]),
)
def test_a_constant_loss_is_its_own_mean(counts, aggregation):
    assert total([[3.0] * count for count in counts], aggregation) == pytest.approx(3.0)
