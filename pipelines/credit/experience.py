"""What credit assignment is given: a forest with rewards, penalties and values per node, and what flat
credits share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.rollouts.forest import Forest


@dataclass(frozen=True)
class Experience:
    """One iteration's rollouts and all that was measured on them. Every sequence holds one entry per node of
    the forest.

    rewards: scalar of the response that ends in this leaf, after shaping; NaN for inner nodes and where there
        is no verdict.
    penalties: (tokens,) reward of each token besides the response's, that is -kl_coef * KL estimate; None: no
        KL in the reward.
    values: (tokens,) the critic's value of the state before each token, in reward units; None without a
        critic.
    tails: the critic's value of the state after the node's last token; None without a critic.
    """

    forest: Forest
    rewards: Sequence[float]
    penalties: Sequence[Tensor] | None = None
    values: Sequence[Tensor] | None = None
    tails: Sequence[float] | None = None

    def penalty(self, index: int) -> float:
        """Sum of a node's token penalties, 0 without any."""
        return 0.0 if self.penalties is None else float(self.penalties[index].double().sum())

    def total(self, index: int) -> float:
        """Reward plus penalties of a response that is one node; NaN without a verdict."""
        return self.rewards[index] + self.penalty(index)

    def judged(self, index: int) -> bool:
        """Whether this node ends a response that has a verdict."""
        return not math.isnan(self.rewards[index])

    def groups(self, credit: str) -> list[list[int]]:
        """The responses to each prompt, as node indices. Raises ValueError unless every response is one
        node.
        """
        families: dict[int, list[int]] = {}
        for index, node in enumerate(self.forest.nodes):
            if node.parent >= 0 or node.side:
                what = "a side rollout" if node.side else "a continuation of another"
                raise ValueError(
                    f"credit {credit} needs a flat forest, one segment for each response; segment {index} is "
                    f"{what}: "
                    "choose sampler flat, or a credit of segments"
                )
            families.setdefault(node.tree, []).append(index)
        return list(families.values())

    def broadcast_to_tokens(self, advantages: Mapping[int, float]) -> list[Tensor]:
        """One number per node -> (tokens,) float32 for every node; 0 where no number is given."""
        return [
            torch.full((len(node.ids),), advantages.get(index, 0.0), dtype=torch.float32)
            for index, node in enumerate(self.forest.nodes)
        ]
