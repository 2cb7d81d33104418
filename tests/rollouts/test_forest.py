"""A small tree: contexts, responses, leaves and families."""

import torch

from pipelines.rollouts.forest import Completion, Finish, Forest, Prompt


def test_a_tree_reads_from_the_prompt_down():
    forest = Forest([Prompt("p", [1, 2], 0)])
    piece = lambda *ids: Completion(list(ids), torch.zeros(len(ids)), torch.zeros(len(ids)), Finish.CAP)  # noqa: E731
    early = forest.add(0, -1, piece(3))
    stem = forest.add(0, -1, piece(4, 5))
    left, right = forest.add(0, stem, piece(6)), forest.add(0, stem, piece(7))
    assert forest.leaves() == [early, left, right]
    assert forest.context(right) == [1, 2, 4, 5]
    assert forest.response(right) == [4, 5, 7]
    assert forest.path(right) == [stem, right]
    assert list(forest.children()) == [(0, -1, [early, stem]), (0, stem, [left, right])]
    assert [node.depth for node in forest.nodes] == [1, 1, 2, 2]
