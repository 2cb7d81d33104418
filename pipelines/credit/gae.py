"""Generalised advantage estimation with a critic (dpo_vs_ppo.md 5.1.3 and 5.1.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.credit.experience import Experience
from pipelines.credit.options import GaeParams

FOREST = "flat"
NEEDS = ("critic",)


def token_rewards(penalties: Tensor, score: float, finished: bool) -> Tensor:
    """penalties (tokens,), the response's score -> (tokens,) rewards.

    The score is added to the last token of a response that ended by itself; a response that was cut gets
    none. Integers become float32.
    """
    rewards = penalties.clone() if penalties.is_floating_point() else penalties.float()
    if finished:
        rewards[-1:] += score
    return rewards


def gae(rewards: Tensor, values: Tensor, tail: Tensor, gamma: float, lam: float) -> Tensor:
    """rewards (..., T), values (..., T) of the states before each token, tail (...) of the state after the
    last -> (..., T).

    delta_t = r_t + gamma V_{t+1} - V_t, A_t = delta_t + gamma lam A_{t+1}; the critic's target is A + V. tail
    is 0 after an end token. A shorter row is padded on its left with anything finite, and its advantages
    there mean nothing.
    """
    following = torch.cat([values[..., 1:], tail.unsqueeze(-1)], -1)
    deltas = rewards + gamma * following - values
    advantages, running = torch.empty_like(deltas), torch.zeros_like(tail)
    for step in reversed(range(deltas.shape[-1])):
        running = deltas[..., step] + gamma * lam * running
        advantages[..., step] = running
    return advantages


def assign(experience: Experience, settings: GaeParams) -> list[Tensor]:
    """Per-token advantages (tokens,) of every node; a flat forest and a critic's values are needed, and tails
    where a response was cut.

    Computed in float64. Raises ValueError without them.
    """
    forest, values, tails = experience.forest, experience.values, experience.tails
    nodes = [
        index
        for members in experience.groups("gae")
        for index in members
        if experience.judged(index) and forest.nodes[index].ids
    ]
    if values is None or (tails is None and not all(forest.nodes[index].finish.complete for index in nodes)):
        raise ValueError(
            "credit gae needs a critic's values (and tails, where responses are cut); give the method a "
            "critic"
        )
    advantages = experience.broadcast_to_tokens({})
    if not nodes:
        return advantages
    longest = max(len(forest.nodes[index].ids) for index in nodes)
    rewards, before = torch.zeros(2, len(nodes), longest, dtype=torch.float64).unbind(0)
    tail = torch.zeros(len(nodes), dtype=torch.float64)
    for row, index in enumerate(nodes):
        node = forest.nodes[index]
        penalties = (
            torch.zeros(len(node.ids)) if experience.penalties is None else experience.penalties[index]
        )
        start = longest - len(node.ids)
        rewards[row, start:] = token_rewards(
            penalties.double(), experience.rewards[index], node.finish.complete
        )
        before[row, start:] = values[index]
        tail[row] = 0.0 if node.finish.complete or tails is None else tails[index]
    for index, row in zip(
        nodes, gae(rewards, before, tail, settings.gamma, settings.lam).float(), strict=True
    ):
        advantages[index] = row[longest - len(forest.nodes[index].ids) :].clone()
    return advantages
