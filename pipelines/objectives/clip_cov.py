"""Clip-Cov: hold the entropy by taking the gradient from a few random tokens whose log-probability moves with
their advantage.

arXiv 2505.22617; entropy.md 5.1.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from pipelines.objectives.clip import clip_figures, clipped_surrogate
from pipelines.objectives.covariance import selected_count, token_covariance
from pipelines.objectives.options import ClipCovParams


def select(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    kept: Tensor,
    settings: ClipCovParams,
    generator: Generator,
) -> Tensor:
    """All (N,), one block of response tokens, kept (N,) bool; `generator` on the CPU -> (N,) bool: the tokens
    that lose their gradient.

    Covariances are over all N tokens. Candidates are kept, not clipped by the base loss, and have a
    covariance strictly between the bounds; min(max(floor(share * N), 1), candidates) of them are drawn
    without replacement, none with share 0.
    """
    _, clipped = clipped_surrogate(
        logprobs.detach(), old_logprobs, advantages, settings.low, settings.high, settings.dual
    )
    covariance = token_covariance(logprobs, advantages)
    candidates = (
        (kept.bool() & ~clipped & (covariance > settings.least) & (covariance < settings.most))
        .nonzero()
        .squeeze(1)
    )
    drawn = torch.randperm(len(candidates), generator=generator)[
        : selected_count(settings.share, len(logprobs))
    ]
    selected = torch.zeros_like(kept, dtype=torch.bool)
    selected[candidates[drawn.to(candidates.device)]] = True
    return selected


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    selected: Tensor | None,
    settings: ClipCovParams,
) -> tuple[Tensor, dict[str, Tensor]]:
    """All (N,) -> token losses (N,), 0 where selected (None: nowhere), and figures (N,). Selected tokens stay
    in the denominator.
    """
    losses, clipped = clipped_surrogate(
        logprobs, old_logprobs, advantages, settings.low, settings.high, settings.dual
    )
    figures = clip_figures(clipped, advantages)
    if selected is not None:
        losses = torch.where(selected, 0.0, losses)
        figures["selected"] = selected.float()
    return losses, figures
