"""A small tree, and a chain with side rollouts: contexts, responses, leaves, families, estimates."""

import pytest
import torch

from pipelines.rollouts.forest import Completion, Finish, Forest, Prompt


def piece(*ids, finish=Finish.CAP):
    return Completion(list(ids), -torch.arange(len(ids)) / 10, torch.arange(len(ids)) / 1.0, finish)


def test_a_tree_reads_from_the_prompt_down():
    forest = Forest([Prompt("p", [1, 2], 0)])
    early = forest.add(0, -1, piece(3))
    stem = forest.add(0, -1, piece(4, 5))
    left, right = forest.add(0, stem, piece(6)), forest.add(0, stem, piece(7))
    assert forest.leaves() == [early, left, right]
    assert forest.context(right) == [1, 2, 4, 5]
    assert forest.response(right) == [4, 5, 7]
    assert forest.path(right) == [stem, right]
    assert list(forest.children()) == [(0, -1, [early, stem]), (0, stem, [left, right])]
    assert [node.depth for node in forest.nodes] == [1, 1, 2, 2]


def test_a_response_is_cut_into_a_path_that_keeps_its_tokens_and_its_end():
    forest = Forest([Prompt("p", [1], 0)])
    whole = piece(4, 5, 6, 7, 8, finish=Finish.EOS)
    path = forest.add_path(0, -1, whole, [2, 3])
    assert path == forest.path(path[-1])
    assert [forest.nodes[index].ids for index in path] == [[4, 5], [6], [7, 8]]
    assert [forest.nodes[index].finish for index in path] == [Finish.CAP, Finish.CAP, Finish.EOS]
    assert torch.equal(torch.cat([forest.nodes[index].logprobs for index in path]), whole.logprobs)
    assert torch.equal(torch.cat([forest.nodes[index].entropy for index in path]), whole.entropy)
    assert forest.add_path(0, -1, whole, []) == [3]
    assert forest.response(3) == whole.ids


@pytest.mark.parametrize("cuts", [[0], [5], [3, 2], [2, 2], [-1], [6]])
def test_a_cut_that_leaves_a_segment_empty_is_refused(cuts):
    with pytest.raises(ValueError, match="continuation of 5 tokens"):
        Forest([Prompt("p", [1], 0)]).add_path(0, -1, piece(4, 5, 6, 7, 8), cuts)


def test_side_rollouts_estimate_states_and_are_no_responses():
    forest = Forest([Prompt("p", [1], 0)])
    first, last = forest.add_path(0, -1, piece(4, 5, 6, finish=Finish.EOS), [1])
    other, end = forest.add_path(0, -1, piece(4, 7, finish=Finish.EOS), [1])
    sides = [forest.add(0, first, piece(8, finish=Finish.EOS), side=True) for _ in range(2)]
    root = forest.add(0, -1, piece(9, 9), side=True)
    forest.alias[0, other] = (0, first)
    assert forest.estimates((0, first)) == forest.estimates((0, other)) == sides
    assert forest.estimates((0, -1)) == [root]
    assert forest.estimates((0, last)) == []
    assert forest.leaves() == [last, end, *sides, root]
    assert forest.leaves(side=False) == [last, end]
    assert forest.leaves(side=True) == [*sides, root]
    assert list(forest.children()) == [(0, -1, [first, other]), (0, first, [last]), (0, other, [end])]
    assert forest.response(sides[0]) == [4, 8]
