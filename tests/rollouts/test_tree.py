"""The tree sampler: shapes, early ends, caps, contexts, and tokens that equal those of continuing by hand."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.rollouts.counter import child_key, mix, root_key
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.rollouts.forest import Finish, Prompt
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.rollouts.samplers import flat
from pipelines.rollouts.samplers.options import FlatParams, TreeParams, expected_nodes
from pipelines.rollouts.samplers.tree import grow
from tests.rollouts.scripted import EOS, ScriptedEngine
from tests.tiny import CPU, make_tiny_model, make_tiny_tokens

PROMPTS = [
    Prompt(name, [4, 9, 5 + index] + [6] * index, root_key(0, 3, name)) for index, name in enumerate("abc")
]


def test_cost_of_a_tree():
    """spo.md 10.22: 2-2 tree, M = 3, L = 8: 2*3 + 4*5 = 26 tokens, 6 nodes, versus 32 unshared."""
    forest = grow(
        ScriptedEngine(),
        PROMPTS[:1],
        TreeParams(branching=(2, 2), segment=3),
        SamplingParams(max_new_tokens=8),
    )
    assert len(forest.nodes) == 6
    assert sum(len(node.ids) for node in forest.nodes) == 26
    assert sum(len(forest.response(leaf)) for leaf in forest.leaves()) == 32


@pytest.mark.parametrize(("width", "nodes"), [(6, 258), (4, 84), (8, 584)])
def test_node_counts(width, nodes):
    """spo.md 10.22."""
    params = TreeParams(branching=(width,) * 3, segment=2)
    forest = grow(ScriptedEngine(), PROMPTS[:1], params, SamplingParams(max_new_tokens=6))
    assert len(forest.nodes) == expected_nodes(params.branching) == nodes
    assert len(forest.leaves()) == params.responses == width**3
    assert forest.leaves(side=True) == []


def test_expected_nodes_with_early_ends():
    """spo.md 10.23: 6-6-6 with survival .8: 173.04, as a tree of scripted ends has on average."""
    assert expected_nodes((6, 6, 6), 0.8) == pytest.approx(173.04)
    script = lambda prefix, key, position: EOS if mix(key) % 10 < 2 else 1  # noqa: E731
    prompts = [Prompt(str(index), [4], root_key(0, 0, str(index))) for index in range(100)]
    forest = grow(
        ScriptedEngine(script),
        prompts,
        TreeParams(branching=(6, 6, 6), segment=1),
        SamplingParams(max_new_tokens=3),
    )
    assert len(forest.nodes) / 100 == pytest.approx(173.04, rel=0.05)


def test_levels_are_sampled_together():
    engine = ScriptedEngine()
    grow(engine, PROMPTS, TreeParams(branching=(2, 3, 2), segment=2), SamplingParams(max_new_tokens=6))
    assert [len(call) for call in engine.calls] == [3, 6, 18]
    assert engine.keeps == [True, True, False]  # the last level is continued by nobody


def test_a_tree_of_one_level_is_the_flat_group():
    sampling = SamplingParams(max_new_tokens=5)
    tree = grow(ScriptedEngine(), PROMPTS, TreeParams(branching=(4,), segment=99), sampling)
    assert [node.ids for node in tree.nodes] == [
        node.ids for node in flat.grow(ScriptedEngine(), PROMPTS, FlatParams(samples=4), sampling).nodes
    ]


def test_truncated_leaves_say_so():
    """spo.md U3: neither a response at its limit of tokens nor one at the end of the context is whole."""
    params = TreeParams(branching=(2, 2), segment=3)
    capped = grow(ScriptedEngine(), PROMPTS[:1], params, SamplingParams(max_new_tokens=8))
    assert {capped.nodes[leaf].finish for leaf in capped.leaves()} == {Finish.CAP}
    cut = grow(ScriptedEngine(context=8), PROMPTS[:1], params, SamplingParams(max_new_tokens=8))
    assert {(cut.nodes[leaf].finish, len(cut.nodes[leaf].ids)) for leaf in cut.leaves()} == {
        (Finish.CONTEXT, 2)
    }
    assert not Finish.CAP.complete
    assert not Finish.CONTEXT.complete


def test_context_is_reserved_for_every_level():
    """spo.md 11: P + (D - 1) * M < context, and likewise for the limit of new tokens."""
    params = TreeParams(branching=(2, 2, 2), segment=3)
    grow(ScriptedEngine(context=10), PROMPTS[:1], params, SamplingParams(max_new_tokens=7))
    with pytest.raises(
        ValueError,
        match=r"prompt b has 4 tokens: .*2 inner levels of 3 tokens.*drop prompts of 4 tokens or more",
    ):
        grow(ScriptedEngine(context=10), PROMPTS, params, SamplingParams(max_new_tokens=7))
    with pytest.raises(ValueError, match="must be above 6"):
        grow(ScriptedEngine(), PROMPTS, params, SamplingParams(max_new_tokens=6))


def test_empty_input():
    assert grow(ScriptedEngine(), [], TreeParams(), SamplingParams(max_new_tokens=99)).nodes == []


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.integers(1, 4),
    st.integers(1, 5),
)
def test_every_unfinished_inner_segment_has_all_its_children(seed, branching, segment, last):
    prompts = [Prompt(name, [4], root_key(seed, 0, name)) for name in "ab"]
    params = TreeParams(branching=tuple(branching), segment=segment)
    script = lambda prefix, key, position: mix(key + position) % 8  # noqa: E731
    forest = grow(
        ScriptedEngine(script), prompts, params, SamplingParams(max_new_tokens=params.reserved + last)
    )
    children = Counter((node.tree, node.parent) for node in forest.nodes)
    assert all(children[tree, -1] == branching[0] for tree in (0, 1))
    for index, node in enumerate(forest.nodes):
        inner = node.depth < len(branching)
        assert children[node.tree, index] == (
            branching[node.depth] if inner and not node.finish.complete else 0
        )
        assert node.finish.complete == (node.ids[-1] == EOS)
        assert len(node.ids) == (segment if inner else last) or node.finish.complete


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    tokens = make_tiny_tokens(tmp_path_factory.mktemp("tokens"))
    model = make_tiny_model(tokens)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0)
    return LocalEngine(model, tokens, CPU)


SAMPLING = SamplingParams(temperature=0.8, max_new_tokens=9)
SHAPE = TreeParams(branching=(3, 2, 2), segment=2)


def by_path(forest, tree):
    """Segments of one tree by the place of each ancestor among its siblings."""
    places = {}
    for _, _, members in forest.children():
        places.update({index: place for place, index in enumerate(members)})
    return {
        tuple(places[step] for step in forest.path(index)): node.ids
        for index, node in enumerate(forest.nodes)
        if node.tree == tree
    }


def test_a_real_tree_equals_continuing_by_hand(engine):
    forest = grow(engine, PROMPTS, SHAPE, SAMPLING)
    segments = by_path(forest, 1)
    assert len(segments) > 10
    for path, ids in segments.items():
        context, key = list(PROMPTS[1].ids), PROMPTS[1].key
        for depth, place in enumerate(path[:-1], 1):
            context, key = context + segments[path[:depth]], child_key(key, place)
        cap = 2 if len(path) < 3 else 5
        (alone,) = engine.generate(
            [context], [[child_key(key, path[-1])]], SAMPLING.model_copy(update={"max_new_tokens": cap})
        )[0]
        assert alone.ids == ids


def test_a_real_tree_does_not_depend_on_its_batch(engine):
    """The same (run, iteration, prompt, path) gives the same tokens, whichever prompts share the batch."""
    forest = grow(engine, PROMPTS, SHAPE, SAMPLING)
    turned = grow(LocalEngine(engine.model, engine.tokens, CPU, batch=5), PROMPTS[::-1], SHAPE, SAMPLING)
    for tree in range(3):
        assert by_path(forest, tree) == by_path(turned, 2 - tree)
    later = grow(engine, [Prompt("a", PROMPTS[0].ids, root_key(0, 4, "a"))], SHAPE, SAMPLING)
    assert by_path(later, 0) != by_path(forest, 0)
