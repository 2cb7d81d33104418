"""The row that the policy loop learns from."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

EMPTY = torch.zeros(0)


@dataclass(slots=True)
class TrainingRow:
    """A segment to learn from: `context` holds the prompt and the segments before it, `ids` its own tokens;
    the tensors are (tokens,) float32 on the CPU. `values` (the critic's, normalised) and `returns` exist
    where there is a critic.

    Neighbours with the same number `sequence` are segments of one response: they count as one sequence, and
    stay together. `iteration` is the one that sampled the row.
    """

    question: str
    context: tuple[tuple[int, ...], ...]
    ids: tuple[int, ...]
    sampler_logprobs: Tensor
    old_logprobs: Tensor
    entropy: Tensor
    advantages: Tensor = field(default_factory=lambda: EMPTY)
    reference_logprobs: Tensor | None = None
    values: Tensor | None = None
    returns: Tensor | None = None
    sequence: int | None = None
    iteration: int = 0
