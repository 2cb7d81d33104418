"""Whitening: advantages standardised over the tokens that carry loss (methods/spo.md section 3).

Statistics are over the whole optimiser batch, not over micro-batches as in the SPO code: a batch's loss must not depend on how it is cut.
"""

from __future__ import annotations

import torch
from torch import Tensor


def whiten(advantages: Tensor, kept: Tensor, epsilon: float = 1e-8) -> Tensor:
    """advantages (N,), kept (N,) bool -> (A - mean) / sqrt(var + epsilon), unbiased variance of kept tokens (all if none is kept)."""
    counted = advantages[kept] if bool(kept.any()) else advantages
    if len(counted) < 2:
        return torch.zeros_like(advantages)
    return (advantages - counted.mean()) / (counted.var(correction=1) + epsilon).sqrt()
