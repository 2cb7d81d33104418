"""Forking tokens: only those of highest entropy carry loss (80/20, entropy.md 2.2 and 2.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.objectives.masks.options import TopEntropyParams
from pipelines.objectives.portion import portion_up


def top_share(values: Tensor, share: float) -> Tensor:
    """values (N,), of response tokens only -> (N,) bool: exactly ceil(share * N) true, the largest; of equal
    values those that stand first.

    Without gradient. An exact count, not `value >= quantile`, which keeps every tie: all tokens where most
    entropies are 0.
    """
    kept = torch.zeros(len(values), dtype=torch.bool, device=values.device)
    order = values.detach().sort(descending=True, stable=True).indices
    kept[order[: portion_up(share, len(values))]] = True
    return kept


def keep(logprobs: Tensor, entropy: Tensor, settings: TopEntropyParams) -> Tensor:
    """logprobs (N,), entropy (N,) in nats of a block's tokens -> (N,) bool."""
    return top_share(entropy, settings.share)
