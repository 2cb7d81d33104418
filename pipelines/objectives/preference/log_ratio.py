"""What every preference loss is made of: how much likelier the policy makes each answer than its reference
does.
"""

from __future__ import annotations

from torch import Tensor


def log_ratios(
    policy_chosen: Tensor, policy_rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor
) -> tuple[Tensor, Tensor]:
    """All (N,), log-probs summed over an answer's tokens, EOS included -> (N,) log pi/pi_ref of the chosen
    and of the rejected answer, in nats. Times beta they are DPO's implicit rewards (arXiv 2305.18290 eq. 5;
    dpo_vs_ppo.md 4.1).
    """
    return policy_chosen - reference_chosen, policy_rejected - reference_rejected
