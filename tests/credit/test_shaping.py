"""Shaping against reward_bridge.md 9.5, 9.6, 9.8 and entropy.md 7.14."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.credit.leave_one_out import leave_one_out
from pipelines.credit.options import OverlongParams, ShapingParams
from pipelines.credit.shaping import overlong_penalty, shape, z_score

MOST = 100  # tokens of a response
ONE = torch.zeros(4, dtype=torch.int64)
TWO_PROMPTS = torch.tensor([1.0, 1, 1, 0, 0, 0, 0, 0])
TWO_GROUPS = torch.tensor([0] * 4 + [1] * 4)


def score(rewards, groups, min_std=1e-6):
    return z_score(torch.tensor(rewards, dtype=torch.float64), torch.tensor(groups), min_std)


def test_population_deviation():
    """reward_bridge.md 9.5."""
    assert score([1.0, 0, 0, 1], [0] * 4).rewards.tolist() == [1.0, -1.0, -1.0, 1.0]


@pytest.mark.parametrize("rewards", [[0.0] * 4, [1.0] * 4, [0.1] * 3, [0.37] * 6, [0.7] * 12])
def test_equal_rewards(rewards):
    """reward_bridge.md 9.6: exact zeros, where `std == 0` fails since the std of [.1] * 3 is 1.4e-17."""
    found = score(rewards, [0] * len(rewards))
    assert found.rewards.tolist() == [0.0] * len(rewards)
    assert found.unspread.tolist() == [True]


def test_scopes():
    """reward_bridge.md 9.8."""
    batch = z_score(TWO_PROMPTS, torch.zeros(8, dtype=torch.int64)).rewards
    assert batch.tolist() == pytest.approx([1.29099] * 3 + [-0.774597] * 5, abs=1e-5)
    group = z_score(TWO_PROMPTS, TWO_GROUPS).rewards
    assert group.tolist() == pytest.approx([0.57735] * 3 + [-1.73205] + [0.0] * 4, abs=1e-5)
    after = leave_one_out(batch.reshape(2, 4))
    assert after[0].tolist() == pytest.approx([0.688530] * 3 + [-2.06559], abs=1e-5)
    assert after[1].tolist() == [0.0] * 4


def test_small_spreads_of_soft_rewards_are_not_blown_up():
    """reward_bridge.md 3.2: .97 against .98 would become 1 in its group."""
    rewards = [0.97, 0.98, 0.1, 0.9]
    assert score(rewards, [7, 7, 3, 3]).rewards.tolist() == pytest.approx([-1, 1, -1, 1])
    found = score(rewards, [7, 7, 3, 3], 0.02)
    assert found.rewards.tolist() == pytest.approx([0, 0, -1, 1])
    assert found.unspread.tolist() == [False, True]  # in the order of the groups' numbers


@given(st.lists(st.tuples(st.one_of(st.floats(-5, 5), st.just(math.nan)), st.integers(0, 3)), max_size=12))
def test_finite_but_where_there_is_no_verdict(pairs):
    rewards = torch.tensor([reward for reward, _ in pairs], dtype=torch.float64)
    groups = torch.tensor([group for _, group in pairs], dtype=torch.int64)
    found = z_score(rewards, groups).rewards
    assert torch.equal(found.isnan(), rewards.isnan())
    for group in groups.unique():
        own = found[(groups == group) & ~rewards.isnan()]
        if len(own):
            assert own.mean().item() == pytest.approx(0, abs=1e-6)
            assert own.std(correction=0).item() == pytest.approx(1, abs=1e-6) or not own.any()


def test_soft_punishment():
    """entropy.md 7.14."""
    lengths = torch.tensor([16384, 17408, 18432, 20480, 25000])
    assert overlong_penalty(lengths, 20480, 4096).tolist() == [0, -0.25, -0.5, -1, -1]


def test_order_of_the_steps():
    """Wrong answers first, then bias and scale, length, clip, z-score; no verdict stays none."""
    scores, wrong = torch.tensor([1.0, 0.0, 0.0, math.nan]), torch.tensor([False, True, True, True])
    lengths = torch.tensor([10, 10, 95, 100])

    def shaped(**settings):
        rewards, figures = shape(scores, wrong, lengths, ONE, ShapingParams(**settings), MOST)
        assert math.isnan(rewards[3])
        return rewards[:3].tolist(), figures

    assert shaped() == ([1, 0, 0], {})
    assert shaped(wrong_score=-1.0) == ([1, -1, -1], {})
    assert shaped(scale=10.0, bias=0.5)[0] == [5, -5, -5]
    overlong = {"overlong": OverlongParams(limit=100, cache=10)}
    assert shaped(wrong_score=-1.0, **overlong) == ([1, -1, -1.5], {"overlong": pytest.approx(-0.5 / 3)})
    assert shaped(scale=25.0, clip=20.0) == ([20, 0, 0], {"clipped": pytest.approx(1 / 3)})
    rewards, figures = shaped(wrong_score=-1.0, normalise="batch")
    assert rewards == pytest.approx([1.41421, -0.70711, -0.70711], abs=1e-5)
    assert figures == {"unspread": 0.0}


def test_figures_of_groups():
    _, figures = shape(
        TWO_PROMPTS,
        TWO_PROMPTS == 0,
        torch.ones(8, dtype=torch.int64),
        TWO_GROUPS,
        ShapingParams(normalise="group"),
        MOST,
    )
    assert figures == {"unspread": 0.5}


@pytest.mark.parametrize(
    ("given", "lengths"),
    [
        ({}, (100, 20)),  # a fifth, as the paper's 4096 of 20480
        ({"limit": 50}, (50, 10)),
        ({"limit": 3}, (3, 1)),
        ({"cache": 7}, (100, 7)),
        ({"cache": 300}, (100, 100)),
        ({"limit": 20480, "cache": 4096}, (20480, 4096)),
    ],
)
def test_the_limit_of_length_is_that_of_sampling_where_none_is_said(given, lengths):
    assert OverlongParams(**given).lengths(MOST) == lengths


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="larger than"):
        OverlongParams(limit=10, cache=11)
    with pytest.raises(ValueError, match="min_std"):
        ShapingParams(min_std=0.0)
