"""The clipped surrogate of PPO with separate bounds (methods/entropy.md section 1.2): `max(-A r, -A clip(r, 1 - low, 1 + high))`."""

from __future__ import annotations

from torch import Tensor

from pipelines.objectives.objective_params import ObjectiveParams

LOG_RATIO_LIMIT = 20.0  # keeps exp() finite; far outside any clip range


def clipped_surrogate(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """All (N,) -> token losses (N,), to be minimised, and (N,) bool: the tokens whose gradient the clip takes away."""
    ratio = (logprobs - old_logprobs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    losses = (-advantages * ratio).maximum(-advantages * clipped)
    return losses, ((advantages > 0) & (ratio > 1 + clip_high)) | ((advantages < 0) & (ratio < 1 - clip_low))


def policy_loss(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, settings: ObjectiveParams) -> tuple[Tensor, dict[str, Tensor]]:
    """The policy trainer's interface: token losses, and figures per token that are averaged over the batch for the log."""
    losses, clipped = clipped_surrogate(logprobs, old_logprobs, advantages, settings.clip_low, settings.clip_high)
    return losses, {"clip_fraction": clipped.detach().float()}
