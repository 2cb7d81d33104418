"""Conservative DPO: labels that are wrong with a known rate (E. Mitchell, 'A note on DPO with noisy
preferences', 2023).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from pipelines.objectives.preference.log_ratio import log_ratios
from pipelines.objectives.preference.options import CdpoParams


def pair_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    options: CdpoParams,
) -> Tensor:
    """All (N,) -> (N,) losses, the cross-entropy against a label of 1 - smoothing: the gradient vanishes
    where the policy is that sure.
    """
    chosen, rejected = log_ratios(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    logits = options.beta * (chosen - rejected)
    return -(1 - options.smoothing) * logsigmoid(logits) - options.smoothing * logsigmoid(-logits)
