"""Picking: every row once a pass, and a function of the arguments alone."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.training.batches import batch_indices, permutation


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 5))
def test_passes_hold_every_row_once(size, count, seed):
    stream = [row for step in range(3 * size) for row in batch_indices(size, count, step, seed)]
    for start in range(0, len(stream) - size + 1, size):
        assert sorted(stream[start : start + size]) == list(range(size))


def test_order_depends_on_the_seed_and_differs_between_passes():
    first, second = batch_indices(50, 50, 0, 0), batch_indices(50, 50, 1, 0)
    assert first != second
    assert first == batch_indices(50, 50, 0, 0)
    assert first != batch_indices(50, 50, 0, 1)
    assert permutation(50, 1, 2) != permutation(50, 2, 1)
