"""The mask that keeps every response token."""

from __future__ import annotations

import torch
from torch import Tensor


def keep(logprobs: Tensor, entropy: Tensor) -> Tensor:
    """logprobs (N,) and entropy (N,) of the sampled tokens under the sampling policy -> (N,) bool."""
    return torch.ones_like(logprobs, dtype=torch.bool)
