"""Segment advantages along chains: spo.md 10.3, 10.6 and 10.7, and what holds for every chain."""

import math
import random
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.credit.experience import Experience
from pipelines.credit.segment_chain import assign, chain_advantages
from pipelines.rollouts.counter import mix, root_key
from pipelines.rollouts.forest import Completion, Finish, Forest, Prompt
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.rollouts.samplers.chain import grow
from pipelines.rollouts.samplers.options import ChainParams
from pipelines.rollouts.samplers.partition import partition_cutpoint
from pipelines.settings import Choice
from tests.rollouts.scripted import ScriptedEngine

NAN = math.nan
SETTINGS = Choice(kind="segment_chain")


def test_chain_values():
    """spo.md 10.6 without the mask."""
    assert chain_advantages([2 / 3, 1 / 3, 5 / 9], 1.0) == pytest.approx([-1 / 3, 2 / 9, 4 / 9])
    assert sum(chain_advantages([2 / 3, 1 / 3, 5 / 9], 1.0)) == pytest.approx(1 / 3)


def test_chain_values_from_the_prompt():
    """spo.md 10.7."""
    assert chain_advantages([4 / 9, 7 / 9], 0.0) == pytest.approx([1 / 3, -7 / 9])
    assert sum(chain_advantages([4 / 9, 7 / 9], 0.0)) == pytest.approx(-4 / 9)


def test_states_without_an_estimate():
    """Before the first estimate the advantage is 0; a state after the last one is worth the response's own
    reward.
    """
    assert chain_advantages([None, 0.25, 0.5], 1.0) == [0, 0.25, 0.5]
    assert chain_advantages([0.25, 0.5, None, None], 1.0) == [0.25, 0.5, 0, 0]
    assert chain_advantages([None, None], 1.0) == [0, 0]
    assert chain_advantages([], 1.0) == []


def test_what_has_no_verdict_has_no_advantage():
    """Not 0, which whitening would make an advantage of; a segment before the first boundary has 0 all the
    same.
    """
    assert chain_advantages([0.25, NAN, 0.5], 1.0) == pytest.approx([NAN, NAN, 0.5], nan_ok=True)
    assert chain_advantages([None, 0.25, 0.5], NAN) == pytest.approx([0, 0.25, NAN], nan_ok=True)


def test_rounding_is_no_signal():
    """spo.md 10.16."""
    assert chain_advantages([sum([1 / 9] * 6) / 6, 1 / 9], 1 / 9) == [0, 0]


@given(st.lists(st.one_of(st.none(), st.floats(-2, 2)), max_size=12), st.floats(-2, 2))
def test_advantages_telescope(values, reward):
    """spo.md 3: they sum to R - V of the first boundary."""
    advantages = chain_advantages(values, reward)
    known = [value for value in values if value is not None]
    assert sum(advantages) == pytest.approx(reward - known[0] if known else 0, abs=1e-7)
    assert len(advantages) == len(values)


def chain(forest, probabilities, interval, rewards, estimates, outcome, tree=0):
    """A response with its segments laid as the sampler does, and side rollouts that are worth `estimates`."""
    length = len(probabilities)
    whole = Completion([5] * length, torch.tensor(probabilities).log(), torch.zeros(length), Finish.EOS)
    starts = [start for start, _ in partition_cutpoint(whole.logprobs.exp(), 0.9, interval)]
    path = forest.add_path(tree, -1, whole, [start for start in starts if start])
    rewards += [NAN] * (len(path) - 1) + [outcome]
    if not starts or starts[0]:
        forest.outside.add(path[0])
    states = [-1, *path][0 if starts and starts[0] == 0 else 1 :]
    for state, outcomes in zip(states, estimates, strict=False):
        for value in outcomes:
            forest.add(tree, state, Completion([6], torch.zeros(1), torch.zeros(1), Finish.EOS), side=True)
            rewards.append(value)
    return path


def masked(advantages, path, probabilities):
    """Advantages of the response's tokens, 0 where the probability mask takes them out of the loss."""
    whole = torch.cat([advantages[index] for index in path])
    return torch.where(torch.tensor(probabilities) < 0.9, whole, 0.0).tolist()


def test_a_chain_with_its_mask():
    """spo.md 10.6: -1/3, 2/9, 4/9 on tokens 1,3 | 5,7 | 9 and nowhere else."""
    probabilities = (0.99, 0.72, 1.0, 0.85, 1.0, 0.56, 0.92, 0.23, 0.98, 0.11, 1.0)
    forest, rewards = Forest([Prompt("a", [1], 0)]), []
    nine = lambda ones: [1.0] * ones + [0.0] * (9 - ones)  # noqa: E731
    path = chain(forest, probabilities, 2, rewards, [nine(6), nine(3), nine(5)], 1.0)
    advantages = assign(Experience(forest, rewards), SETTINGS)
    expected = [0, -1 / 3, 0, -1 / 3, 0, 2 / 9, 0, 2 / 9, 0, 4 / 9, 0]
    assert masked(advantages, path, probabilities) == pytest.approx(expected)
    assert advantages[path[0]].tolist() == [0.0]
    for side in forest.leaves(side=True):
        assert advantages[side].tolist() == [0.0]


def test_a_chain_from_the_prompt_with_its_mask():
    """spo.md 10.7: 1/3 on tokens 0 and 3, -7/9 on token 5."""
    probabilities = (0.5, 0.99, 0.99, 0.4, 0.95, 0.3)
    forest, rewards = Forest([Prompt("a", [1], 0)]), []
    path = chain(forest, probabilities, 2, rewards, [[1.0] * 4 + [0.0] * 5, [1.0] * 7 + [0.0] * 2], 0.0)
    advantages = assign(Experience(forest, rewards), SETTINGS)
    assert masked(advantages, path, probabilities) == pytest.approx([1 / 3, 0, 0, 1 / 3, 0, -7 / 9])


def test_tokens_before_the_first_boundary_get_nothing_even_where_the_prompt_is_valued():
    """spo.md 1.2 and 10.3: another response of the group may have its first boundary at the prompt."""
    forest, rewards = Forest([Prompt("a", [1], 0)]), []
    chain(forest, (0.5, 0.5), 9, rewards, [[0.0, 1.0]], 1.0)
    later = chain(forest, (0.95, 0.5), 1, rewards, [[0.0, 0.0]], 1.0)
    certain = chain(forest, (0.95, 0.95), 1, rewards, [], 1.0)
    advantages = assign(Experience(forest, rewards), SETTINGS)
    assert advantages[0].tolist() == [0.5, 0.5]
    assert [advantages[index].tolist() for index in later] == [[0.0], [1.0]]
    assert [advantages[index].tolist() for index in certain] == [[0.0, 0.0]]


def test_a_shared_boundary_is_read_through_its_alias():
    forest, rewards = Forest([Prompt("a", [1], 0)]), []
    first = chain(forest, (0.95, 0.5), 1, rewards, [[0.0, 1.0, NAN]], 1.0)
    second = chain(forest, (0.95, 0.5), 1, rewards, [], 0.0)
    forest.alias[0, second[0]] = (0, first[0])
    advantages = assign(Experience(forest, rewards), SETTINGS)
    assert advantages[first[1]].tolist() == [0.5]
    assert advantages[second[1]].tolist() == [-0.5]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from(["cutpoint", "newline", "fixed"]), st.integers(0, 3))
def test_a_grown_chain_telescopes(seed, partition, limit):
    """spo.md 3, from the sampler's own forest: each response's advantages sum to R - V of its first
    boundary.
    """
    script = lambda prefix, key, position: mix(key * 3 + position) % 10  # noqa: E731
    params = ChainParams(samples=3, rollouts=2, partition=partition, interval=2, max_boundaries=limit)
    prompts = [Prompt(name, [4], root_key(seed, 0, name)) for name in "ab"]
    forest = grow(ScriptedEngine(script), prompts, params, SamplingParams(max_new_tokens=8))
    verdicts = random.Random(seed)
    rewards = [
        float(verdicts.random() < 0.5) if index in forest.leaves() else NAN
        for index in range(len(forest.nodes))
    ]
    advantages = assign(Experience(forest, rewards), SETTINGS)
    for leaf in forest.leaves(side=False):
        path, tree = forest.path(leaf), forest.nodes[leaf].tree
        inside = [(state, node) for state, node in pairwise([-1, *path]) if node not in forest.outside]
        total = sum(float(advantages[node][0]) for _, node in inside)
        if inside:
            first = [rewards[side] for side in forest.estimates((tree, inside[0][0]))]
            assert total == pytest.approx(rewards[leaf] - sum(first) / len(first), abs=1e-6)
        assert all(not advantages[node].any() for node in path if node in forest.outside)
        assert all(len(set(advantages[node].tolist())) == 1 for node in path)


def test_trees_and_rewards_of_tokens_are_refused():
    forest = Forest([Prompt("a", [1], 0)])
    piece = Completion([5], torch.zeros(1), torch.zeros(1), Finish.CAP)
    stem = forest.add(0, -1, piece)
    forest.add(0, stem, piece)
    forest.add(0, stem, piece)
    with pytest.raises(ValueError, match="segment_tree"):
        assign(Experience(forest, [NAN, 1.0, 0.0]), SETTINGS)
    with pytest.raises(ValueError, match="whole responses"):
        assign(Experience(Forest([]), [], penalties=[]), SETTINGS)
    assert assign(Experience(Forest([]), []), SETTINGS) == []
