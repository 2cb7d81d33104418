"""Pick the rows of each step, without any hidden state."""

from __future__ import annotations

import torch


def batch_indices(size: int, count: int, step: int, seed: int) -> list[int]:
    """Returns `count` of `size` rows for `step`: shuffled passes, end to end. Every row comes once per pass;
    the passes differ.

    Depends on its arguments alone, so the data position of a resumed run is its step.
    """
    chosen: list[int] = []
    position = step * count
    while len(chosen) < count:
        turn, offset = divmod(position + len(chosen), size)
        chosen += permutation(size, seed, turn)[offset : offset + count - len(chosen)]
    return chosen


def permutation(size: int, *seeds: int) -> list[int]:
    """Returns a permutation of range(size) that depends on `seeds` alone."""
    value = 0
    for seed in seeds:
        value = (value * 1_000_003 + seed + 1) % (1 << 63)
    return torch.randperm(size, generator=torch.Generator().manual_seed(value)).tolist()
