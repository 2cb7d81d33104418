"""Leave-one-out advantage (RLOO): a response against the mean of the others (reward_bridge.md 5.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.credit.experience import Experience
from pipelines.credit.options import LeaveOneOutParams

FOREST = "flat"
NEEDS = ("several_responses",)


def leave_one_out(rewards: Tensor) -> Tensor:
    """rewards (groups, samples), NaN where there is no verdict -> advantages of the same shape, 0 there.

    r_i - mean of the others with a verdict = n / (n - 1) * (r_i - mean). Equal rewards, or a single verdict,
    give exact zeros. Raises ValueError for one sample: there is nothing to leave out.
    """
    if rewards.shape[1] < 2:
        raise ValueError(
            f"leave-one-out needs at least 2 responses for each prompt, not {rewards.shape[1]}; raise the "
            f"sampler's samples"
        )
    known = ~rewards.isnan()
    count = known.sum(1, keepdim=True)
    values = torch.where(known, rewards, 0.0)
    others = (values.sum(1, keepdim=True) - values) / (count - 1).clamp(min=1)
    lowest = torch.where(known, rewards, torch.inf).amin(1, keepdim=True)
    highest = torch.where(known, rewards, -torch.inf).amax(1, keepdim=True)
    # a mean of equal floats may differ from them in the last bit
    return torch.where(known & (lowest < highest), values - others, 0.0)


def assign(experience: Experience, settings: LeaveOneOutParams) -> list[Tensor]:
    """Per-token advantages (tokens,) of every node; a flat forest is needed."""
    inside = settings.kl == "inside"
    by_node: dict[int, float] = {}
    for members in experience.groups("leave_one_out"):
        rewards = [experience.total(index) if inside else experience.rewards[index] for index in members]
        advantages = leave_one_out(torch.tensor([rewards], dtype=torch.float64))[0].tolist()
        for index, advantage in zip(members, advantages, strict=True):
            if experience.judged(index):
                by_node[index] = advantage if inside else advantage + experience.penalty(index)
    return experience.broadcast_to_tokens(by_node)
