"""Cutting and picking: every row once, within the budget, and a function of the arguments alone."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.training.batches import collate, cut, pick, shuffled


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 200))
def test_every_row_once_within_the_budget(lengths, budget):
    groups = cut(lengths, budget)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    assert all(len(group) == 1 or len(group) * max(lengths[i] for i in group) <= budget for group in groups)


def test_neighbours_share_a_length():
    assert cut([3, 9, 3, 9, 3], 18) == [[1, 3], [0, 2, 4]]


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 5))
def test_passes_hold_every_row_once(size, count, seed):
    stream = [row for step in range(3 * size) for row in pick(size, count, step, seed)]
    for start in range(0, len(stream) - size + 1, size):
        assert sorted(stream[start : start + size]) == list(range(size))


def test_order_depends_on_the_seed_and_differs_between_passes():
    first, second = pick(50, 50, 0, 0), pick(50, 50, 1, 0)
    assert first != second
    assert first == pick(50, 50, 0, 0)
    assert first != pick(50, 50, 0, 1)
    assert shuffled(50, 1, 2) != shuffled(50, 2, 1)


def test_collate_marks_the_response_and_pads_on_the_right():
    micro = collate([2, 0], [[4, 5, 6], [1], [7, 8, 9, 1]], [1, 1, 3], 0, torch.device("cpu"))
    assert micro.input_ids.tolist() == [[7, 8, 9, 1], [4, 5, 6, 0]]
    assert micro.response.tolist() == [[False, False, False, True], [False, True, True, False]]
