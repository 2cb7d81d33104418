"""The worlds: true rewards with the best answer on the diagonal, and pairs that cover some answers of each
prompt.

dpo_vs_ppo.md 6.2, 6.3. All worlds are laid side by side in one tensor, the first dimension; each has random
numbers of its own, so that a world is the same whatever others stand beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.evaluation.theory.theory_params import TheoryParams
from pipelines.rollouts.counter import root_key


@dataclass(frozen=True)
class World:
    """S worlds of `size` prompts and answers.

    true (S, size, size) rewards; covered (S, size, size) bool; chosen and rejected (S, pairs): cells of the
    pairs, counted row-major.
    """

    true: Tensor
    covered: Tensor
    chosen: Tensor
    rejected: Tensor


def generator(seed: int, world: int, purpose: str) -> torch.Generator:
    """Random numbers for one purpose in one world."""
    return torch.Generator().manual_seed(root_key(seed, world, purpose) >> 1)


def make_worlds(settings: TheoryParams, seed: int) -> World:
    """Per prompt: the best answer is preferred to each of `covered - 1` others, drawn at random; the rest
    stays uncovered.
    """
    size, others = settings.size, settings.covered - 1
    true, covered = [], []
    for world in range(settings.seeds):
        source = generator(seed, world, "world")
        rewards = settings.distractor * torch.rand(size, size, generator=source, dtype=torch.float64)
        true.append(rewards.fill_diagonal_(1.0))
        order = torch.rand(size, size, generator=source, dtype=torch.float64).fill_diagonal_(-1.0).argsort(1)
        covered.append(torch.zeros(size, size, dtype=torch.bool).scatter_(1, order[:, : others + 1], True))
    cells = torch.stack(covered)
    rejected = (
        (cells & ~torch.eye(size, dtype=torch.bool))
        .flatten(1)
        .nonzero()[:, 1]
        .view(settings.seeds, size * others)
    )
    return World(torch.stack(true), cells, rejected // size * (size + 1), rejected)
