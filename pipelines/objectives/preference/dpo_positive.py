"""DPO-Positive: DPO that does not buy its margin by making the chosen answer less likely (arXiv
2402.13228).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from pipelines.objectives.preference.log_ratio import log_ratios
from pipelines.objectives.preference.options import DpoPositiveParams


def pair_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    options: DpoPositiveParams,
) -> Tensor:
    """All (N,) -> (N,) losses, -log sigma(beta * (margin - penalty * max(0, log pi_ref/pi of the chosen
    answer))).
    """
    chosen, rejected = log_ratios(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    return -logsigmoid(options.beta * (chosen - rejected - options.penalty * (-chosen).clamp_min(0)))
