"""Segment advantages along a chain (SPO-chain, VinePPO): how much a segment changed the expected reward
(spo.md 3).

The value of a boundary is the mean reward of its side rollouts; the end of a response is worth the response's
own reward.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from pipelines.credit.experience import Experience
from pipelines.settings import Choice

FOREST = "chain"

ZERO = 1e-9  # differences below this are rounding, no signal (spo.md 10.16)


def chain_advantages(values: Sequence[float | None], reward: float) -> list[float]:
    """values (K,): of the state before each of K segments, in order; None: not estimated -> advantages (K,),
    one per segment.

    An advantage is the next state's value minus this one's, and `reward` is the last state's; estimates sum
    up to reward - first value. A segment before the first estimate has advantage 0, a state after the last
    one is worth `reward` (VinePPO). Next to a value that is NaN, for want of any verdict, the advantage is
    NaN: not known, which is not 0.
    """
    known = [value is not None for value in values]
    first = known.index(True) if any(known) else len(values)
    filled = [reward if value is None else value for value in values] + [reward]
    differences = [after - before for before, after in pairwise(filled)]
    return [0.0] * first + [
        0.0 if abs(difference) <= ZERO else difference for difference in differences[first:]
    ]


def mean_of_known(values: Sequence[float]) -> float:
    """The mean without NaNs; NaN when nothing is left."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def assign(experience: Experience, settings: Choice | None = None) -> list[Tensor]:
    """(tokens,) advantages of every node; 0 for side rollouts, NaN next to a state without any verdict. It
    has no settings.

    Raises ValueError for a forest whose responses share segments, and for rewards of single tokens.
    """
    if experience.penalties is not None:
        raise ValueError(
            "credit segment_chain takes rewards of whole responses only: put the KL into the loss (kl.use: "
            "loss)"
        )
    forest, rewards = experience.forest, experience.rewards
    if any(parent >= 0 and len(members) > 1 for _, parent, members in forest.children()):
        raise ValueError(
            "credit segment_chain needs responses that share no segment; choose sampler chain, or credit "
            "segment_tree"
        )
    advantages: dict[int, float] = {}
    for leaf in forest.leaves(side=False):
        path = forest.path(leaf)
        tree = forest.nodes[leaf].tree
        estimates = [
            [] if node in forest.outside else forest.estimates((tree, state))
            for state, node in pairwise([-1, *path])
        ]
        values = [mean_of_known([rewards[side] for side in sides]) if sides else None for sides in estimates]
        advantages.update(zip(path, chain_advantages(values, rewards[leaf]), strict=True))
    return experience.broadcast_to_tokens(advantages)
