"""Segment advantages in trees: spo.md 10.8 to 10.16 and 10.25, and what holds for every tree."""

import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.credit.experience import Experience
from pipelines.credit.group import group_advantage
from pipelines.credit.options import SegmentTreeParams
from pipelines.credit.segment_tree import assign, tree_advantages, tree_values
from pipelines.rollouts.forest import Completion, Finish, Forest, Prompt

NAN = math.nan
BINARY = [-1, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]  # a root, then level by level


def advantages_of(parents, rewards, spread="none", epsilon=1e-8):
    return tree_advantages(parents, tree_values(parents, rewards), spread, epsilon)


def full_tree(branching):
    """Parents of a full tree below one root, level by level, and how many leaves it has."""
    parents, level = [-1], [0]
    for width in branching:
        following = []
        for node in level:
            following += range(len(parents), len(parents) + width)
            parents += [node] * width
        level = following
    return parents, len(level)


def test_figure_2b():
    """spo.md 10.8: children 2/3, 1, 0."""
    parents, rewards = [-1, 0, 0, 0], [NAN, 2 / 3, 1.0, 0.0]
    assert tree_values(parents, rewards)[0] == pytest.approx(5 / 9)
    assert advantages_of(parents, rewards)[1:] == pytest.approx([1 / 9, 4 / 9, -5 / 9])
    assert advantages_of(parents, rewards, "population")[1:] == pytest.approx(
        [0.2673, 1.0690, -1.3363], abs=1e-4
    )


def test_binary_tree_of_three_levels():
    """spo.md 10.9 and 10.10."""
    rewards = [NAN] * 7 + [1.0, 1, 1, 0, 0, 0, 1, 0]
    values, advantages = tree_values(BINARY, rewards), advantages_of(BINARY, rewards)
    assert values[:7] == [0.5, 0.75, 0.25, 1.0, 0.5, 0.0, 0.5]
    assert advantages[1:] == [0.25, -0.25, 0.25, -0.25, -0.25, 0.25, 0, 0, 0.5, -0.5, 0, 0, 0.5, -0.5]
    assert sum(advantage != 0 for advantage in advantages) == 10
    sums = [advantages[1 + leaf // 4] + advantages[3 + leaf // 2] + advantages[7 + leaf] for leaf in range(8)]
    assert sums == [reward - 0.5 for reward in rewards[7:]]


@pytest.mark.parametrize("reward", [0.0, 1.0, 1 / 9, 0.1])
@pytest.mark.parametrize("spread", ["none", "population"])
def test_a_unanimous_tree_has_no_signal(reward, spread):
    """spo.md 10.12 and 10.16: 216 equal leaves: exact zeros, no NaN, whatever the rounding of means."""
    parents, leaves = full_tree((6, 6, 6))
    rewards = [NAN] * (len(parents) - leaves) + [reward] * leaves
    assert len(parents) == 259
    assert tree_values(parents, rewards) == pytest.approx([reward] * 259)
    assert advantages_of(parents, rewards, spread, 0.0) == [0.0] * 259


def test_means_of_equal_children_leave_no_residue():
    """spo.md 10.16: a naive sum of six times 1/9 divided by 6 is not 1/9; values off by 1.4e-17 count as
    equal.
    """
    assert sum([1 / 9] * 6) / 6 != 1 / 9
    parents = [-1] + [0] * 6
    assert (
        tree_advantages(parents, [1 / 9 + 1.4e-17] + [1 / 9] * 5 + [1 / 9 - 1.4e-17], "population", 1e-8)
        == [0.0] * 7
    )
    assert tree_advantages(parents, [1 / 9 + 1e-8] + [1 / 9] * 6, "none", 0.0)[1] == pytest.approx(-1e-8)


def test_an_early_end_counts_once():
    """spo.md 10.13: V(root) = 1/2, not 1/3."""
    parents, rewards = [-1, 0, 0, 2, 2], [NAN, 1.0, NAN, 0.0, 0.0]
    assert tree_values(parents, rewards)[0] == 0.5
    assert advantages_of(parents, rewards) == [0, 0.5, -0.5, 0, 0]


def test_not_leave_one_out():
    """spo.md 10.14: 1/3 or -2/3, five sixths of leave-one-out's .4 or -.8."""
    rewards = [1.0, 0, 0, 1, 1, 1]
    advantages = advantages_of([-1] + [0] * 6, [NAN, *rewards])[1:]
    assert advantages == pytest.approx([1 / 3, -2 / 3, -2 / 3, 1 / 3, 1 / 3, 1 / 3])
    alone = [reward - (sum(rewards) - reward) / 5 for reward in rewards]
    assert [one / other for one, other in zip(alone, advantages, strict=True)] == pytest.approx([6 / 5] * 6)


@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=9),
    st.sampled_from(["none", "population"]),
)
def test_one_level_equals_the_group_advantage(rewards, spread):
    """spo.md 10.15."""
    ours = advantages_of([-1] + [0] * len(rewards), [NAN, *rewards], spread)[1:]
    assert ours == pytest.approx(
        group_advantage(torch.tensor([rewards], dtype=torch.float64), spread, 1e-8)[0].tolist(), abs=1e-9
    )


def test_group_example():
    """spo.md 10.15: (1,0,0,0) -> 1.7321, -.5774 three times."""
    assert advantages_of([-1] + [0] * 4, [NAN, 1.0, 0, 0, 0], "population")[1:] == pytest.approx(
        [1.7321] + [-0.5774] * 3, abs=1e-4
    )


@pytest.mark.parametrize(
    ("between", "expected"),
    [(True, 1 / 24), (False, 0.25 / 36)],
    ids=["determined children", "no between-child variance"],
)
def test_variance_of_a_two_level_estimate(between, expected):
    """spo.md 10.25: sigma_B^2 / b0 + sigma_W^2 / (b0 b1) with b = 6-6."""
    generator = random.Random(0)
    parents, leaves = full_tree((6, 6))
    roots = []
    for _ in range(4000):
        drawn = [float(generator.random() < 0.5) for _ in range(leaves)]
        ends = [drawn[leaf // 6] for leaf in range(leaves)] if between else drawn
        roots.append(tree_values(parents, [NAN] * 7 + ends)[0])
    mean = math.fsum(roots) / len(roots)
    variance = math.fsum((value - mean) ** 2 for value in roots) / len(roots)
    assert mean == pytest.approx(0.5, abs=0.02)
    assert variance == pytest.approx(expected, rel=0.1)


@st.composite
def trees(draw):
    """A random tree: parents before children, leaves' rewards, some without verdict."""
    count = draw(st.integers(1, 40))
    parents = [-1] + [draw(st.integers(0, index)) for index in range(count)]
    inner = set(parents)
    rewards = [
        NAN if index in inner else draw(st.sampled_from([0.0, 1.0, 0.3, 1 / 9, -2.0, NAN]))
        for index in range(count + 1)
    ]
    return parents, rewards


@given(trees(), st.sampled_from(["none", "population"]))
def test_siblings_sum_to_zero(tree, spread):
    """spo.md 10.11."""
    parents, rewards = tree
    values, advantages = tree_values(parents, rewards), advantages_of(parents, rewards, spread)
    known = [parent < 0 or not math.isnan(value) for parent, value in zip(parents, values, strict=True)]
    assert [math.isfinite(advantage) for advantage in advantages] == known
    for parent in set(parents) - {-1}:
        siblings = [index for index, own in enumerate(parents) if own == parent and known[index]]
        assert sum(advantages[index] for index in siblings) == pytest.approx(0, abs=1e-6)


@given(trees())
def test_advantages_telescope_along_every_path(tree):
    """spo.md 10.10: the sum along a path is the leaf's reward minus the root's value."""
    parents, rewards = tree
    values, advantages = tree_values(parents, rewards), advantages_of(parents, rewards)
    for leaf in set(range(len(parents))) - set(parents):
        if not math.isnan(rewards[leaf]):
            total, node = 0.0, leaf
            while node >= 0:
                total += advantages[node]
                node = parents[node]
            assert total == pytest.approx(rewards[leaf] - values[0], abs=1e-7)


def test_children_without_a_verdict_are_left_out():
    """A leaf without a verdict is no part of its parent's mean; a parent with none at all is one without a
    verdict itself.
    """
    parents = [-1, 0, 0, 0, 1, 1, 2, 2]
    rewards = [NAN, NAN, NAN, 1.0, NAN, NAN, 0.0, NAN]
    values = tree_values(parents, rewards)
    assert math.isnan(values[1])
    assert values[2] == 0.0
    assert values[0] == 0.5
    assert advantages_of(parents, rewards) == pytest.approx(
        [0, NAN, -0.5, 0.5, NAN, NAN, 0, NAN], nan_ok=True
    )
    assert advantages_of([-1, 0, 0], [NAN, NAN, NAN], "population") == pytest.approx(
        [0, NAN, NAN], nan_ok=True
    )


def test_a_spread_of_groups_alone_is_refused():
    with pytest.raises(ValueError, match="'sample' of a tree's siblings: use one of none, population"):
        tree_advantages([-1, 0, 0], [0.5, 0.0, 1.0], "sample", 1e-8)


def piece(length):
    return Completion([5] * length, torch.zeros(length), torch.zeros(length), Finish.CAP)


def test_all_tokens_of_a_segment_carry_its_advantage():
    forest = Forest([Prompt("a", [1], 0), Prompt("b", [1], 0)])
    early = forest.add(0, -1, piece(2))
    other = forest.add(1, -1, piece(1))
    stem = forest.add(0, -1, piece(3))
    leaves = [forest.add(0, stem, piece(1)), forest.add(0, stem, piece(4))]
    last = forest.add(1, -1, piece(2))
    rewards = [NAN] * 6
    rewards[early], rewards[leaves[0]], rewards[leaves[1]], rewards[other], rewards[last] = (
        1.0,
        1.0,
        0.0,
        1.0,
        0.0,
    )
    advantages = assign(Experience(forest, rewards), SegmentTreeParams())
    assert [part.tolist() for part in advantages] == [
        [0.25] * 2,
        [0.5],
        [-0.25] * 3,
        [0.5],
        [-0.5] * 4,
        [-0.5] * 2,
    ]
    assert all(part.dtype == torch.float32 for part in advantages)
    normalised = assign(Experience(forest, rewards), SegmentTreeParams(spread="population"))
    assert [round(float(part[0]), 5) for part in normalised] == [1.0, 1.0, -1.0, 1.0, -1.0, -1.0]


def test_an_empty_forest_and_rewards_of_tokens():
    assert assign(Experience(Forest([]), []), SegmentTreeParams()) == []
    with pytest.raises(ValueError, match="whole responses"):
        assign(Experience(Forest([]), [], penalties=[]), SegmentTreeParams())
