"""The mask of unsure tokens: those sampled with a probability below a threshold (spo.md 4.1)."""

from __future__ import annotations

from torch import Tensor

from pipelines.objectives.masks.options import ProbabilityParams


def below(logprobs: Tensor, threshold: float) -> Tensor:
    """logprobs (N,) of sampled tokens -> (N,) bool: exp(logprob) < threshold, strictly."""
    return logprobs.exp() < threshold


def keep(logprobs: Tensor, entropy: Tensor, settings: ProbabilityParams) -> Tensor:
    """logprobs (N,), entropy (N,) of a block's tokens -> (N,) bool."""
    return below(logprobs, settings.below)
