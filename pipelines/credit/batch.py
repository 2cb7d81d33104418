"""Returns without a group: REINFORCE and REINFORCE++ (reward_bridge.md 5.2)."""

from __future__ import annotations

from torch import Tensor

from pipelines.credit.experience import Experience
from pipelines.credit.options import BatchParams

FOREST = "flat"


def returns_to_go(penalties: Tensor, reward: float) -> Tensor:
    """penalties (tokens,), the response's reward -> (tokens,) float64: the reward plus the penalties from
    this token on.
    """
    return penalties.double().flip(0).cumsum(0).flip(0) + reward


def assign(experience: Experience, settings: BatchParams) -> list[Tensor]:
    """Per-token returns (tokens,) of every node, as advantages; a flat forest is needed."""
    nodes = [index for members in experience.groups("batch") for index in members if experience.judged(index)]
    if settings.returns == "sequence" or experience.penalties is None:
        return experience.broadcast_to_tokens({index: experience.total(index) for index in nodes})
    advantages = experience.broadcast_to_tokens({})
    for index in nodes:
        advantages[index] = returns_to_go(experience.penalties[index], experience.rewards[index]).float()
    return advantages
