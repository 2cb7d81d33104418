"""DPO, the reward model, PPO and the closed form, on tables of (worlds, prompts, answers) (dpo_vs_ppo.md 4.1,
5.1, 6.3).

The losses are those that the pipeline trains language models with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pipelines.evaluation.theory.networks import Networks, PolicyTable
from pipelines.evaluation.theory.theory_params import TheoryParams
from pipelines.evaluation.theory.world import World, generator
from pipelines.objectives.clip import clipped_surrogate
from pipelines.objectives.preference.dpo import pair_loss
from pipelines.objectives.preference.options import DpoParams


class TrainedPolicy(NamedTuple):
    """A policy (S, prompts, answers) after some steps, and the loss (S,) there."""

    policy: Tensor
    loss: Tensor


def train_dpo(
    policy: PolicyTable, world: World, settings: TheoryParams, steps: Sequence[int]
) -> dict[int, TrainedPolicy]:
    """Train `policy` on the pairs, full batch, its start being the reference -> what it is after each number
    of `steps`.
    """
    reference = _log_policy(policy()).detach()
    options, optimiser = DpoParams(beta=settings.beta), _adam(policy)
    old = reference.gather(1, world.chosen), reference.gather(1, world.rejected)
    snapshots = {}
    for step in range(max(steps) + 1):
        logprobs = _log_policy(policy())
        losses = pair_loss(
            logprobs.gather(1, world.chosen), logprobs.gather(1, world.rejected), *old, options
        ).mean(1)
        if step in steps:
            snapshots[step] = TrainedPolicy(logprobs.detach().exp().view(world.true.shape), losses.detach())
        _step(optimiser, losses)
    return snapshots


def train_reward(model: PolicyTable, world: World, settings: TheoryParams) -> Tensor:
    """Bradley-Terry on the pairs, full batch -> (S, prompts, answers) rewards, whitened over each world's
    cells where so configured.
    """
    optimiser = _adam(model)
    for _ in range(settings.reward_steps):
        rewards = model().flatten(1)
        _step(
            optimiser,
            -logsigmoid(rewards.gather(1, world.chosen) - rewards.gather(1, world.rejected)).mean(1),
        )
    rewards = model().detach()
    if not settings.whiten:
        return rewards
    return (rewards - rewards.mean((1, 2), keepdim=True)) / rewards.std((1, 2), keepdim=True)


def train_ppo(
    policy: PolicyTable, value: Networks, rewards: Tensor, settings: TheoryParams, seed: int
) -> Tensor:
    """One-step PPO against `rewards` (S, prompts, answers) with a KL penalty to the start -> the policy (S,
    prompts, answers).
    """
    size, count = settings.size, settings.ppo_samples
    sources = [generator(seed, world, "sample") for world in range(settings.seeds)]
    reference, flat = _log_policy(policy()).detach(), rewards.flatten(1)
    optimiser = _adam(policy, value)
    for _ in range(settings.ppo_iterations):
        drawn = torch.stack(
            [torch.rand(2, count, generator=source, dtype=torch.float64) for source in sources]
        )
        prompts = (drawn[:, 0] * size).long()
        with torch.no_grad():
            logprobs = _log_policy(policy())
            cells = _sample(logprobs.view(rewards.shape).exp(), prompts, drawn[:, 1])
            old = logprobs.gather(1, cells)
            returns = flat.gather(1, cells) - settings.beta * (old - reference.gather(1, cells))
            advantages = returns - value().squeeze(2).gather(1, prompts)
            spread = advantages.std(1, keepdim=True, correction=0) + 1e-5
            advantages = (advantages - advantages.mean(1, keepdim=True)) / spread
        for part in torch.arange(count).chunk(settings.ppo_updates):
            logprobs = _log_policy(policy()).gather(1, cells[:, part])
            losses, _ = clipped_surrogate(
                logprobs, old[:, part], advantages[:, part], settings.clip, settings.clip
            )
            errors = value().squeeze(2).gather(1, prompts[:, part]) - returns[:, part]
            # they share no parameter: two losses in one pass
            _step(optimiser, losses.mean(1) + errors.square().mean(1) / 2)
    return _log_policy(policy()).detach().exp().view(rewards.shape)


def closed_form(reference: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """Returns pi_ref exp(r / beta) / Z for (..., answers) probabilities and rewards (dpo_vs_ppo.md 4.1), 0
    wherever the reference is 0.
    """
    return torch.softmax(reference.log() + rewards / beta, -1)


def _sample(policy: Tensor, prompts: Tensor, uniforms: Tensor) -> Tensor:
    """policy (S, prompts, answers), prompts and uniforms (S, N) -> (S, N) cells, by the inverse of the
    distribution function.
    """
    size = policy.shape[2]
    below = policy.cumsum(2).gather(1, prompts[:, :, None].expand(-1, -1, size))
    answers = (uniforms[:, :, None] >= below).sum(2).clamp_max(size - 1)
    return prompts * size + answers


def _log_policy(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits, -1).flatten(1)


def _adam(*tables: PolicyTable) -> torch.optim.Adam:
    groups = [{"params": table.parameters, "lr": table.learning_rate} for table in tables]
    return torch.optim.Adam(groups, fused=True)


def _step(optimiser: torch.optim.Adam, losses: Tensor) -> None:
    """losses (S,): each world's own; their sum has each world's own gradient."""
    optimiser.zero_grad()
    losses.sum().backward()
    optimiser.step()
