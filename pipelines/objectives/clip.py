"""The clipped surrogate of PPO with separate bounds (entropy.md 1.2): `max(-A r, -A clip(r, 1 - low, 1 +
high))`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.objectives.options import ClipParams

LOG_RATIO_LIMIT = 20.0  # keeps exp() finite; far outside any clip range


def probability_ratio(logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
    """Both (N,) -> new over old probability (N,), limited to e^20 on either side."""
    return (logprobs - old_logprobs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def clipped_surrogate(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    clip_low: float,
    clip_high: float,
    dual: float | None = None,
) -> tuple[Tensor, Tensor]:
    """All (N,) -> token losses (N,), to be minimised, and (N,) bool: the tokens whose gradient the clip takes
    away (that of a ratio beyond e^20 is 0 as well, and not marked).

    `dual` limits the loss to -A * dual where A < 0 (dual clip).
    """
    ratio = probability_ratio(logprobs, old_logprobs)
    losses = (-advantages * ratio).maximum(-advantages * ratio.clamp(1 - clip_low, 1 + clip_high))
    clipped = ((advantages > 0) & (ratio > 1 + clip_high)) | ((advantages < 0) & (ratio < 1 - clip_low))
    if dual is not None:
        beyond = (advantages < 0) & (ratio > dual)
        losses = torch.where(beyond, -advantages * dual, losses)
        clipped = clipped | beyond
    return losses, clipped


def clip_figures(clipped: Tensor, advantages: Tensor) -> dict[str, Tensor]:
    """Both (N,) -> figures (N,): the clipped tokens, and those of them that were held at the upper bound."""
    return {"clip_fraction": clipped.float(), "clip_high_fraction": (clipped & (advantages > 0)).float()}


def policy_loss(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, selected: Tensor | None, settings: ClipParams
) -> tuple[Tensor, dict[str, Tensor]]:
    """All (N,) -> token losses (N,), and figures (N,) that are averaged over kept tokens for the log.
    `selected` takes no part.
    """
    losses, clipped = clipped_surrogate(
        logprobs, old_logprobs, advantages, settings.low, settings.high, settings.dual
    )
    return losses, clip_figures(clipped, advantages)
