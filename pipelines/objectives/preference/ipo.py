"""Identity preference optimisation (arXiv 2310.12036 eq. 17): regress the margin on a constant, so that it
cannot grow for ever.
"""

from __future__ import annotations

from torch import Tensor

from pipelines.objectives.preference.log_ratio import log_ratios
from pipelines.objectives.preference.options import IpoParams


def pair_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    options: IpoParams,
) -> Tensor:
    """All (N,) -> (N,) losses, (margin - 1 / (2 beta))^2 in squared nats.

    Log-probs are summed over the answer, as the paper's pi(y|x) is. Some libraries average them over its
    tokens instead: their beta means another thing.
    """
    chosen, rejected = log_ratios(policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    return (chosen - rejected - 1 / (2 * options.beta)).square()
