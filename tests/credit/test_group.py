"""Group advantages against the worked numbers of spo.md 10.12, 10.14, 10.15 and entropy.md 7.12."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.credit.experience import Experience
from pipelines.credit.group import assign, group_advantage
from pipelines.credit.options import GroupParams
from tests.credit.made import flat

ONE_OF_FOUR = torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)


def test_population_spread():
    """spo.md 10.15, entropy.md 7.12: (1,0,0,0) -> 1.7321, -.5774 three times."""
    advantages = group_advantage(ONE_OF_FOUR, "population", 1e-8)[0]
    assert advantages.tolist() == pytest.approx([1.732051] + [-0.577350] * 3, abs=1e-6)


def test_sample_spread():
    """entropy.md 7.12: (1.5, -.5 three times); G = 8 with one right 2.474874 and -.353553; spo.md 5: 1.4997
    with delta 1e-4.
    """
    assert group_advantage(ONE_OF_FOUR, "sample", 0.0)[0].tolist() == pytest.approx([1.5, -0.5, -0.5, -0.5])
    eight = torch.tensor([[1.0] + [0.0] * 7])
    assert group_advantage(eight, "sample", 0.0)[0].tolist() == pytest.approx(
        [2.474874] + [-0.353553] * 7, abs=1e-5
    )
    assert group_advantage(ONE_OF_FOUR, "sample", 1e-4)[0, 0].item() == pytest.approx(1.4997, abs=1e-4)


def test_affine_rewards_change_nothing():
    """entropy.md 7.12: (1,-1,-1,-1) gives the same as (1,0,0,0)."""
    assert torch.allclose(
        group_advantage(2 * ONE_OF_FOUR - 1, "sample", 0.0), group_advantage(ONE_OF_FOUR, "sample", 0.0)
    )


def test_no_spread_is_five_sixths_of_leave_one_out():
    """spo.md 10.14: rewards (1,0,0,1,1,1): self-inclusive 1/3 or -2/3, leave-one-out .4 or -.8, ratio 6/5."""
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    advantages = group_advantage(rewards, "none", 0.0)
    assert advantages[0].tolist() == pytest.approx([1 / 3, -2 / 3, -2 / 3, 1 / 3, 1 / 3, 1 / 3])
    alone = rewards - (rewards.sum() - rewards) / 5
    assert (alone / advantages)[0].tolist() == pytest.approx([6 / 5] * 6)


@given(st.floats(-5, 5, width=32), st.integers(1, 9), st.sampled_from(["population", "sample", "none"]))
def test_equal_rewards_give_exact_zeros(value, count, spread):
    """spo.md 10.12 and 10.16: no NaN from a spread of 0, and no leftover of float rounding."""
    assert torch.equal(group_advantage(torch.full((2, count), value), spread, 1e-8), torch.zeros(2, count))


@given(
    st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=9),
    st.sampled_from(["population", "sample", "none"]),
)
def test_siblings_sum_to_zero(rewards, spread):
    """spo.md 10.11."""
    assert float(
        group_advantage(torch.tensor([rewards], dtype=torch.float64), spread, 1e-6).sum()
    ) == pytest.approx(0, abs=1e-6)


@given(st.permutations(range(5)))
def test_order_does_not_matter(order):
    rewards = torch.tensor([[1.0, 0.0, 0.5, 0.0, 1.0]])
    direct = group_advantage(rewards, "sample", 1e-6)
    assert torch.allclose(group_advantage(rewards[:, order], "sample", 1e-6), direct[:, order], atol=1e-6)


def test_errors_leave_the_group():
    rewards = torch.tensor(
        [[1.0, 0.0, math.nan, 0.0, 0.0], [math.nan] * 5, [1.0, math.nan, math.nan, math.nan, math.nan]]
    )
    advantages = group_advantage(rewards, "sample", 0.0)
    assert advantages[0].tolist() == pytest.approx([1.5, -0.5, 0.0, -0.5, -0.5])
    assert torch.equal(advantages[1:], torch.zeros(2, 5))


def test_every_token_of_a_response_carries_its_advantage():
    experience = Experience(flat([2, 3], [1, 4]), [1.0, 0.0, 1.0, 1.0])
    advantages = assign(experience, GroupParams(spread="none"))
    assert [part.tolist() for part in advantages] == [[0.5] * 2, [-0.5] * 3, [0.0], [0.0] * 4]


def test_a_kl_in_the_reward_is_compared_too():
    experience = Experience(flat([2, 1]), [1.0, 1.0], [torch.tensor([-0.1, -0.3]), torch.tensor([0.0])])
    advantages = assign(experience, GroupParams(spread="none"))
    assert torch.cat(advantages).tolist() == pytest.approx([-0.2, -0.2, 0.2])


def test_length_penalty_and_reward_scale():
    """entropy.md 1.5: one right and three wrong, one of them half over length, with rewards {0, 1} and {-1,
    1}.
    """
    plain, signed = torch.tensor([[1.0, -0.5, 0.0, 0.0], [1.0, -1.5, -1.0, -1.0]], dtype=torch.float64).split(
        1
    )
    assert group_advantage(plain, "sample", 1e-6)[0].tolist() == pytest.approx(
        [1.391, -0.993, -0.199, -0.199], abs=1e-3
    )
    assert group_advantage(signed, "sample", 1e-6)[0].tolist() == pytest.approx(
        [1.466, -0.789, -0.338, -0.338], abs=1e-3
    )
