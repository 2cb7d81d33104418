"""The chain sampler: the flat sampler's responses, side rollouts at shared boundaries, nothing that depends
on the batch.
"""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.rollouts.counter import mix, root_key
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.rollouts.forest import Finish, Prompt
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.rollouts.samplers import flat
from pipelines.rollouts.samplers.chain import grow
from pipelines.rollouts.samplers.options import ChainParams, FlatParams
from pipelines.rollouts.samplers.partition import partition_cutpoint
from tests.rollouts.scripted import ScriptedEngine
from tests.tiny import CPU, make_tiny_model, make_tiny_tokens

PROMPTS = [Prompt(name, [4, 9, 5 + index], root_key(0, 3, name)) for index, name in enumerate("abc")]


def likely_or_not(pattern):
    """A script that draws token 9 (probability .95) or 2 (.25) as `pattern` says, on main responses and side
    rollouts alike.
    """
    return lambda prefix, key, position: 9 if pattern[(len(prefix) - 3 + position) % len(pattern)] else 2


def test_cost_of_a_chain():
    """spo.md 10.22: L = 11, starts (1, 5, 9), N = 3: 11 + 3 * (10 + 6 + 2) = 65 tokens."""
    pattern = [p >= 0.9 for p in (0.99, 0.72, 1, 0.85, 1, 0.56, 0.92, 0.23, 0.98, 0.11, 1)]
    forest = grow(
        ScriptedEngine(likely_or_not(pattern)),
        PROMPTS[:1],
        ChainParams(samples=1, rollouts=3, interval=2),
        SamplingParams(max_new_tokens=11),
    )
    assert [node.ids for node in forest.nodes if not node.side] == [[9], [2, 9, 2, 9], [2, 9, 2, 9], [2, 9]]
    assert sum(len(node.ids) for node in forest.nodes) == 65
    assert [len(forest.estimates((0, state))) for state in (-1, 0, 1, 2, 3)] == [0, 3, 3, 3, 0]


def test_a_certain_response_has_no_segment_and_asks_for_nothing():
    """spo.md 10.3: no cutpoint: no rollout request."""
    engine = ScriptedEngine(likely_or_not([True]))
    forest = grow(engine, PROMPTS, ChainParams(samples=2), SamplingParams(max_new_tokens=4))
    assert [node.side for node in forest.nodes] == [False] * 6
    assert forest.outside == set(range(6))
    assert sum(map(len, engine.calls)) == len(PROMPTS)


def test_equal_openings_share_one_estimate():
    """Six equal responses: every boundary is estimated once, and all six states find it."""
    forest = grow(
        ScriptedEngine(likely_or_not([False, True])),
        PROMPTS[:2],
        ChainParams(samples=6, rollouts=2, interval=1),
        SamplingParams(max_new_tokens=4),
    )
    assert len(forest.leaves(side=True)) == 2 * 2 * 2  # prompts, boundaries at tokens 0 and 2, rollouts
    for tree in (0, 1):
        firsts = {
            tuple(forest.estimates((tree, forest.path(leaf)[0])))
            for leaf in forest.leaves(side=False)
            if forest.nodes[leaf].tree == tree
        }
        assert len(firsts) == 1
        assert len(next(iter(firsts))) == 2
        assert len(forest.estimates((tree, -1))) == 2
    assert len(forest.alias) == 2 * 5  # the bare prompt is one state, not six


def test_prompts_with_the_same_tokens_stay_apart():
    """Two problems may ask alike and differ in their answers."""
    twins = [Prompt("a", [4], 1), Prompt("b", [4], 2)]
    forest = grow(
        ScriptedEngine(likely_or_not([False])),
        twins,
        ChainParams(samples=1, rollouts=2, interval=9),
        SamplingParams(max_new_tokens=3),
    )
    assert [len(forest.estimates((tree, -1))) for tree in (0, 1)] == [2, 2]
    assert forest.alias == {}


@pytest.mark.parametrize(
    ("limit", "expected"), [(0, [2, 2, 2, 2, 2, 0]), (3, [2, 2, 2, 0, 0, 0]), (25, [2, 2, 2, 2, 2, 0])]
)
def test_newline_boundaries_up_to_a_limit(limit, expected):
    """spo.md 1.4: the prompt and every step but the last; later states have no estimate."""
    script = lambda prefix, key, position: 1 if (len(prefix) - 3 + position) % 2 else 2 + mix(key) % 7  # noqa: E731
    params = ChainParams(samples=1, rollouts=2, partition="newline", max_boundaries=limit)
    forest = grow(ScriptedEngine(script), PROMPTS[:1], params, SamplingParams(max_new_tokens=10))
    path = forest.path(forest.leaves(side=False)[0])
    assert [len(forest.nodes[index].ids) for index in path] == [2] * 5
    assert [len(forest.estimates((0, state))) for state in [-1, *path]] == expected


def test_fixed_parts_value_the_prompt_as_well():
    """spo.md U2."""
    forest = grow(
        ScriptedEngine(),
        PROMPTS[:1],
        ChainParams(samples=1, rollouts=1, partition="fixed", parts=4),
        SamplingParams(max_new_tokens=11),
    )
    path = forest.path(forest.leaves(side=False)[0])
    assert [len(forest.nodes[index].ids) for index in path] == [3, 3, 3, 2]
    assert [len(forest.estimates((0, state))) for state in [-1, *path]] == [1, 1, 1, 1, 0]


def ends_sometimes(prefix, key, position):
    return mix(key * 3 + position) % 10 if position else 2


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32),
    st.sampled_from(["cutpoint", "newline", "fixed"]),
    st.integers(1, 4),
    st.integers(1, 6),
    st.sampled_from(["first_cutpoint", "prompt"]),
    st.integers(0, 3),
)
def test_main_responses_are_whole_and_estimates_start_where_they_say(
    seed, partition, interval, parts, first, limit
):
    prompts = [Prompt(name, [4] * (index + 1), root_key(seed, 0, name)) for index, name in enumerate("ab")]
    params = ChainParams(
        samples=3,
        rollouts=2,
        partition=partition,
        interval=interval,
        parts=parts,
        first_boundary=first,
        max_boundaries=limit,
    )
    sampling = SamplingParams(max_new_tokens=8)
    forest = grow(ScriptedEngine(ends_sometimes), prompts, params, sampling)
    plain = flat.grow(ScriptedEngine(ends_sometimes), prompts, FlatParams(samples=3), sampling)
    mains = forest.leaves(side=False)
    assert [forest.response(leaf) for leaf in mains] == [node.ids for node in plain.nodes]
    assert [forest.nodes[leaf].finish for leaf in mains] == [node.finish for node in plain.nodes]
    for leaf in mains:
        path, tree = forest.path(leaf), forest.nodes[leaf].tree
        valued = [state for state in [-1, *path] if forest.estimates((tree, state))]
        assert leaf not in valued
        assert not limit or len(valued) <= limit
        for state in [-1, *path[:-1]]:
            sides = forest.estimates((tree, state))
            before = [] if state < 0 else forest.response(state)
            assert len(sides) in (0, 2)
            assert all(forest.context(side) == prompts[tree].ids + before for side in sides)
            assert all(len(forest.response(side)) <= 8 for side in sides)
    whole_or_full = [
        forest.nodes[side].finish.complete or len(forest.response(side)) == 8
        for side in forest.leaves(side=True)
    ]
    assert all(whole_or_full)
    requests = {(forest.nodes[side].tree, tuple(forest.context(side))) for side in forest.leaves(side=True)}
    assert len(forest.leaves(side=True)) == 2 * len(requests)  # never the same prefix twice


def test_empty_input():
    assert grow(ScriptedEngine(), [], ChainParams(), SamplingParams()).nodes == []


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    tokens = make_tiny_tokens(tmp_path_factory.mktemp("tokens"))
    model = make_tiny_model(tokens)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0)
    return LocalEngine(model, tokens, CPU)


def by_state(forest, tree):
    """Side rollouts of one tree by the tokens that they start after."""
    found = {}
    for side in forest.leaves(side=True):
        if forest.nodes[side].tree == tree:
            found.setdefault(tuple(forest.context(side)), []).append(forest.nodes[side].ids)
    return found


def test_a_real_chain_does_not_depend_on_its_batch(engine):
    """The same (run, iteration, prompt, tokens before) gives the same rollouts, whichever prompts and samples
    share the batch.
    """
    sampling = SamplingParams(temperature=0.8, max_new_tokens=9)
    params = ChainParams(samples=4, rollouts=2, interval=2)
    forest = grow(engine, PROMPTS, params, sampling)
    turned = grow(LocalEngine(engine.model, engine.tokens, CPU, batch=5), PROMPTS[::-1], params, sampling)
    fewer = grow(engine, PROMPTS[1:2], params.model_copy(update={"samples": 2}), sampling)
    assert len(forest.leaves(side=True)) > 12
    for tree in range(3):
        assert by_state(forest, tree) == by_state(turned, 2 - tree)
    whole = by_state(forest, 1)
    assert by_state(fewer, 0).items() <= whole.items()
    drawn = [tuple(ids) for rollouts in whole.values() for ids in rollouts]
    assert len(set(drawn)) > len(drawn) / 2


def test_real_segments_begin_at_cutpoints(engine):
    params = ChainParams(samples=4, rollouts=1, interval=2)
    forest = grow(engine, PROMPTS, params, SamplingParams(temperature=0.8, max_new_tokens=9))
    for leaf in forest.leaves(side=False):
        path = forest.path(leaf)
        probabilities = torch.cat([forest.nodes[index].logprobs for index in path]).exp()
        starts, position = [], 0
        for before, index in pairwise([-1, *path]):
            if index not in forest.outside:
                assert forest.estimates((forest.nodes[leaf].tree, before))
                starts.append(position)
            position += len(forest.nodes[index].ids)
        assert [start for start, _ in partition_cutpoint(probabilities, 0.9, 2)] == starts
        assert all(math.isfinite(float(forest.nodes[index].logprobs.sum())) for index in path)
        assert forest.nodes[leaf].finish in (Finish.EOS, Finish.CAP)
