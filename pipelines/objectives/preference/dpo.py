"""Direct preference optimisation (arXiv 2305.18290 eq. 7; dpo_vs_ppo.md 4.1)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from pipelines.objectives.preference.log_ratio import log_ratios
from pipelines.objectives.preference.options import DpoParams


def pair_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    options: DpoParams,
) -> Tensor:
    """All (N,) summed answer log-probs -> (N,) losses, -log sigma(beta * margin): log 2 where policy and
    reference agree.
    """
    chosen, rejected = log_ratios(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    return -logsigmoid(options.beta * (chosen - rejected))
