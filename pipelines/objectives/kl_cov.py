"""KL-Cov: hold the entropy by pulling back the few tokens whose log-probability moves most with their
advantage.

arXiv 2505.22617; entropy.md 5.2. The penalty is 0 on the first update of a rollout, where every ratio is 1:
nothing is selected there, since |log ratio| would make full-size gradients of the rounding between sampler
and trainer.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from pipelines.objectives.clip import clip_figures, clipped_surrogate, probability_ratio
from pipelines.objectives.covariance import selected_count, token_covariance
from pipelines.objectives.divergence import kl_estimate
from pipelines.objectives.options import KlCovParams

NEEDS = ("moved_policy",)

MOVED_ONLY = True  # the updater drops selected tokens whose policy is still the one that sampled them


def select(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    kept: Tensor,
    settings: KlCovParams,
    generator: Generator,
) -> Tensor:
    """All (N,), one block of response tokens, kept (N,) bool -> (N,) bool: the kept tokens of largest
    covariance, that of all N tokens.

    max(floor(share * N), 1) of them, none with share 0; of equal covariances those that stand first. Nothing
    is drawn.
    """
    covariance = token_covariance(logprobs, advantages)
    order = torch.where(kept.bool(), covariance, -torch.inf).sort(descending=True, stable=True).indices
    selected = torch.zeros_like(kept, dtype=torch.bool)
    selected[order[: selected_count(settings.share, len(logprobs))]] = True
    return selected & kept.bool()


def policy_loss(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, selected: Tensor | None, settings: KlCovParams
) -> tuple[Tensor, dict[str, Tensor]]:
    """All (N,) -> token losses (N,): -A r, clipped if so configured, plus the penalty where selected (None:
    nowhere), and figures (N,).
    """
    figures: dict[str, Tensor] = {}
    if settings.base_clip:
        losses, clipped = clipped_surrogate(logprobs, old_logprobs, advantages, settings.low, settings.high)
        figures = clip_figures(clipped, advantages)
    else:
        losses = -advantages * probability_ratio(logprobs, old_logprobs)
    if selected is not None:
        # of KL(old || new), from samples of old
        penalties = kl_estimate(old_logprobs, logprobs, settings.estimator)
        losses = torch.where(selected, losses + settings.coef * penalties, losses)
        figures["selected"] = selected.float()
    return losses, figures
