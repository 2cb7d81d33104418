"""Forests of made-up responses."""

import torch

from pipelines.rollouts.forest import Completion, Finish, Forest, Prompt


def response(count, finish=Finish.EOS):
    return Completion([5] * count, torch.zeros(count), torch.zeros(count), finish)


def flat(*trees):
    """Each tree a list of response lengths, or of (length, finish)."""
    forest = Forest([Prompt(str(number), [1], number) for number in range(len(trees))])
    for tree, lengths in enumerate(trees):
        for item in lengths:
            forest.add(tree, -1, response(*item) if isinstance(item, tuple) else response(item))
    return forest
