"""Cut an optimiser batch into micro-batches by a token budget, and pick the rows of each step, both without any hidden state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class MicroBatch(NamedTuple):
    """rows: positions in the optimiser batch; input_ids (B, S) right padded; response (B, S) bool, true where tokens carry a log-prob.

    Flat per-token tensors of these rows go row by row, in the order of `rows`.
    """

    rows: list[int]
    input_ids: Tensor
    response: Tensor


def cut(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """lengths of sequences -> groups of their indices such that rows times longest row is at most `budget` (or one row alone).

    Sequences of like length share a group, so little is padded.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):  # the longest first: a memory error comes at once
        if groups and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= budget:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def collate(rows: list[int], ids: Sequence[list[int]], prompts: Sequence[int], pad_id: int, device: torch.device) -> MicroBatch:
    """ids: all sequences of the batch (prompt and response); prompts: their prompt lengths, at least 1."""
    width = max(len(ids[row]) for row in rows)
    padded = torch.tensor([ids[row] + [pad_id] * (width - len(ids[row])) for row in rows])
    starts = torch.tensor([prompts[row] for row in rows])[:, None]
    ends = torch.tensor([len(ids[row]) for row in rows])[:, None]
    columns = torch.arange(width)
    return MicroBatch(rows, padded.to(device), ((columns >= starts) & (columns < ends)).to(device))


def pick(size: int, count: int, step: int, seed: int) -> list[int]:
    """`count` of `size` rows for `step`: shuffled passes, end to end. Every row comes once per pass; the passes differ.

    Depends on its arguments alone, so the data position of a resumed run is its step.
    """
    chosen: list[int] = []
    position = step * count
    while len(chosen) < count:
        turn, offset = divmod(position + len(chosen), size)
        chosen += shuffled(size, seed, turn)[offset : offset + count - len(chosen)]
    return chosen


def shuffled(size: int, *seeds: int) -> list[int]:
    """A permutation of range(size) that depends on `seeds` alone."""
    value = 0
    for seed in seeds:
        value = (value * 1_000_003 + seed + 1) % (1 << 63)
    return torch.randperm(size, generator=torch.Generator().manual_seed(value)).tolist()
