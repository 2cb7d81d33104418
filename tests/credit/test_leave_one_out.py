"""Leave-one-out against reward_bridge.md 9.7, 9.8, 9.9 and spo.md 10.14."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.credit.experience import Experience
from pipelines.credit.group import group_advantage
from pipelines.credit.leave_one_out import assign, leave_one_out
from pipelines.credit.options import LeaveOneOutParams
from tests.credit.made import flat


def rows(*rewards):
    return torch.tensor(rewards, dtype=torch.float64)


def test_worked_numbers():
    """reward_bridge.md 9.7; spo.md 10.14."""
    assert leave_one_out(rows([1, 0, 0, 1]))[0].tolist() == pytest.approx([2 / 3, -2 / 3, -2 / 3, 2 / 3])
    assert leave_one_out(rows([0.9, 0.2, 0.4, 0.1]))[0].tolist() == pytest.approx(
        [0.66667, -0.26667, 0, -0.4], abs=1e-5
    )
    assert leave_one_out(rows([1, 0, 0, 1, 1, 1]))[0].tolist() == pytest.approx(
        [0.4, -0.8, -0.8, 0.4, 0.4, 0.4]
    )


def test_one_response_is_refused():
    """reward_bridge.md 9.7: n = 1 must raise."""
    with pytest.raises(ValueError, match="at least 2"):
        leave_one_out(rows([1.0]))
    with pytest.raises(ValueError, match="at least 2"):
        assign(Experience(flat([2]), [1.0]), LeaveOneOutParams())


def test_after_normalisation_within_the_group():
    """reward_bridge.md 9.7: z-scored group first gives 4/3, n / (n - 1) times REINFORCE's 1."""
    normalised = group_advantage(rows([1, 0, 0, 1]), "population", 0.0)
    assert leave_one_out(normalised)[0].tolist() == pytest.approx([4 / 3, -4 / 3, -4 / 3, 4 / 3])


@pytest.mark.parametrize(
    ("kl", "wanted"),
    [("inside", [0.64, -0.64, -0.65333, 0.65333]), ("after", [0.61667, -0.67667, -0.68667, 0.62667])],
)
def test_where_the_kl_enters(kl, wanted):
    """reward_bridge.md 9.9: sequence log-ratios 5, 1, 2, 4, here over responses of one to four tokens, and
    beta .01.
    """
    penalties = [
        torch.full((size,), -0.01 * ratio / size)
        for size, ratio in zip((1, 2, 3, 4), (5, 1, 2, 4), strict=True)
    ]
    found = assign(Experience(flat([1, 2, 3, 4]), [1.0, 0.0, 0.0, 1.0], penalties), LeaveOneOutParams(kl=kl))
    assert [len(part) for part in found] == [1, 2, 3, 4]
    for part, value in zip(found, wanted, strict=True):
        assert part.tolist() == pytest.approx([value] * len(part), abs=1e-5)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=9), st.floats(-3, 3))
def test_scaled_group_advantage_and_shift(rewards, shift):
    """reward_bridge.md 9.7: n / (n - 1) (r - mean), sums to 0, a constant changes nothing."""
    found, count = leave_one_out(rows(rewards)), len(rewards)
    assert torch.allclose(found, group_advantage(rows(rewards), "none", 0.0) * count / (count - 1), atol=1e-9)
    assert float(found.sum()) == pytest.approx(0, abs=1e-9)
    assert torch.allclose(leave_one_out(rows(rewards) + shift), found, atol=1e-9)


@given(st.floats(-5, 5), st.integers(2, 9))
def test_equal_rewards_give_exact_zeros(value, count):
    assert torch.equal(
        leave_one_out(torch.full((2, count), value, dtype=torch.float64)),
        torch.zeros(2, count, dtype=torch.float64),
    )


def test_errors_leave_the_group():
    found = leave_one_out(rows([1.0, 0.0, math.nan], [1.0, math.nan, math.nan], [math.nan] * 3))
    assert found.tolist() == [[1.0, -1.0, 0.0], [0.0] * 3, [0.0] * 3]
