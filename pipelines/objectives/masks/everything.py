"""The mask that keeps every response token."""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.objectives.masks.options import MaskParams


def keep(logprobs: Tensor, entropy: Tensor, settings: MaskParams) -> Tensor:
    """logprobs (N,), entropy (N,) of a block's tokens -> (N,) bool."""
    return torch.ones_like(logprobs, dtype=torch.bool)
