"""Group advantage (GRPO, DAPO): a response against the other responses to the same prompt (entropy.md
1.1).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from pipelines.credit.experience import Experience
from pipelines.credit.options import GroupParams

# of the sum of a group's rewards: the mean of equal floats may differ from them in the last bits
ALIKE = 1e-12

GroupSpread = Literal["population", "sample", "none"]

FOREST = "flat"
NEEDS = ("several_responses",)


def group_advantage(rewards: Tensor, spread: GroupSpread, epsilon: float) -> Tensor:
    """rewards (groups, samples), NaN where there is no verdict -> advantages of the same shape, 0 there; of
    integers in float32.

    (r - mean) / (std + epsilon) within each row, in float64, or r - mean with `spread` none; a row without
    any difference but rounding (1e-12 of their sum) gives exact zeros. `population` divides squares by n,
    `sample` by n - 1. Raises ValueError for an unknown spread.
    """
    if spread not in get_args(GroupSpread):
        raise ValueError(f"spread {spread!r} of a group: use one of {', '.join(get_args(GroupSpread))}")
    dtype = rewards.dtype if rewards.is_floating_point() else torch.float32
    values = rewards.double()
    known = ~values.isnan()
    count = known.sum(1, keepdim=True)
    values = torch.where(known, values, 0.0)
    centred = torch.where(known, values - values.sum(1, keepdim=True) / count.clamp(min=1), 0.0)
    rounding = ALIKE * values.abs().sum(1, keepdim=True)
    centred = torch.where((centred.abs() <= rounding).all(1, keepdim=True), 0.0, centred)
    if spread == "none":
        return centred.to(dtype)
    divisor = count if spread == "population" else (count - 1).clamp(min=1)
    spread_of = (centred.square().sum(1, keepdim=True) / divisor).sqrt()
    return torch.where(spread_of > 0, centred / (spread_of + epsilon), 0.0).to(dtype)


def assign(experience: Experience, settings: GroupParams) -> list[Tensor]:
    """Per-token advantages (tokens,) of every node; a flat forest is needed. A KL in the reward is part of
    what is compared.
    """
    advantages: dict[int, float] = {}
    for members in experience.groups("group"):
        group = torch.tensor([[experience.total(index) for index in members]], dtype=torch.float64)
        advantages |= zip(
            members, group_advantage(group, settings.spread, settings.epsilon)[0].tolist(), strict=True
        )
    return experience.broadcast_to_tokens(advantages)
