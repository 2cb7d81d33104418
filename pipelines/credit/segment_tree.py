"""Segment advantages in a tree (SPO-tree): a segment's value against its parent's (spo.md 2.2 and 3).

A node is worth the plain mean of its children, however large their subtrees: each child is one draw of the
next segment, so that the value stays unbiased when some responses end early. The parent's mean includes the
segment itself, as published: this is not leave-one-out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor

from pipelines.credit.experience import Experience
from pipelines.credit.options import SegmentTreeParams
from pipelines.credit.segment_chain import ZERO, mean_of_known

SiblingSpread = Literal["none", "population"]

FOREST = "tree"
NEEDS = ("several_responses",)


def tree_values(parents: Sequence[int], rewards: Sequence[float]) -> list[float]:
    """parents (N,): the index of each node's parent, below its own, -1 for roots; rewards (N,): of leaves,
    others are not read -> values (N,): a leaf's reward, else the mean of the children's values without NaNs;
    NaN where there is none.
    """
    children: list[list[float]] = [[] for _ in parents]
    values = list(rewards)
    for node in range(len(parents) - 1, -1, -1):
        if children[node]:
            values[node] = mean_of_known(children[node][::-1])
        if parents[node] >= 0:
            children[parents[node]].append(values[node])
    return values


def tree_advantages(
    parents: Sequence[int], values: Sequence[float], spread: SiblingSpread, epsilon: float
) -> list[float]:
    """parents, values (N,) as in `tree_values` -> advantages (N,): V - V(parent), with `population` divided
    by (std of siblings + epsilon).

    Differences up to 1e-9 are exact zeros, so that unanimous siblings carry no signal; a root has 0. A node
    whose value is not known has NaN. Raises ValueError for an unknown `spread`.
    """
    if spread not in get_args(SiblingSpread):
        raise ValueError(
            f"spread {spread!r} of a tree's siblings: use one of {', '.join(get_args(SiblingSpread))}"
        )
    siblings: dict[int, list[float]] = {}
    for parent, value in zip(parents, values, strict=True):
        if parent >= 0 and not math.isnan(value):
            siblings.setdefault(parent, []).append(value)
    scales = {
        parent: _deviation(group) + epsilon if spread == "population" else 1.0
        for parent, group in siblings.items()
    }
    advantages = []
    for parent, value in zip(parents, values, strict=True):
        difference = value - values[parent] if parent >= 0 else 0.0
        advantages.append(0.0 if abs(difference) <= ZERO else difference / scales.get(parent, 1.0))
    return advantages


def assign(experience: Experience, settings: SegmentTreeParams) -> list[Tensor]:
    """(tokens,) advantages of every node: all tokens of a segment carry its own; 0 for side rollouts, NaN
    without any verdict.

    Raises ValueError for rewards of single tokens.
    """
    if experience.penalties is not None:
        raise ValueError(
            "credit segment_tree takes rewards of whole responses only: put the KL into the loss (kl.use: "
            "loss)"
        )
    forest = experience.forest
    roots = len(forest.prompts)  # the prompts come first, then the nodes
    kept = [index for index, node in enumerate(forest.nodes) if not node.side]
    place = {index: roots + position for position, index in enumerate(kept)}
    parents = [-1] * roots
    for index in kept:
        node = forest.nodes[index]
        parents.append(place[node.parent] if node.parent >= 0 else node.tree)
    rewards = [math.nan] * roots + [experience.rewards[index] for index in kept]
    advantages = tree_advantages(
        parents, tree_values(parents, rewards), settings.spread, settings.spread_epsilon
    )
    return experience.broadcast_to_tokens(dict(zip(kept, advantages[roots:], strict=True)))


def _deviation(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
