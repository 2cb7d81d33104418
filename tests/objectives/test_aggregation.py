"""One denominator: methods/entropy.md section 7 items 10, 15 and 17, methods/spo.md section 10 item 19."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.objectives.aggregation import sequence_weights


def total(losses, aggregation):
    weights = sequence_weights([len(part) for part in losses], aggregation)
    return sum(weight * sum(part) for weight, part in zip(weights, losses, strict=False))


def test_worked_numbers():
    assert total([[2.0], [1.0, 1.0, 1.0]], "token_mean") == pytest.approx(1.25)
    assert total([[2.0], [1.0, 1.0, 1.0]], "seq_mean_token_mean") == pytest.approx(1.5)
    assert total([[2.0], [1.0, 1.0, 1.0]], "seq_mean_token_sum") == pytest.approx(2.5)
    assert total([[-1.0] * 3, [1.0]], "token_mean") == pytest.approx(-0.5)


def test_sequences_without_tokens_and_batches_without_any():
    assert sequence_weights([2, 0], "token_mean") == [0.5, 0.5]
    assert sequence_weights([2, 0], "seq_mean_token_mean") == [0.25, 0.0]
    for aggregation in ("token_mean", "seq_mean_token_mean", "seq_mean_token_sum"):
        assert total([[], []], aggregation) == 0.0


@given(st.lists(st.integers(1, 50), min_size=1, max_size=10), st.sampled_from(["token_mean", "seq_mean_token_mean"]))
def test_a_constant_loss_is_its_own_mean(counts, aggregation):
    assert total([[3.0] * count for count in counts], aggregation) == pytest.approx(3.0)
