"""Losses of scores that order two answers: the Bradley-Terry reward model and the cost model (dpo_vs_ppo.md
3.1, 3.4).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry(chosen: Tensor, rejected: Tensor, weights: Tensor) -> Tensor:
    """All (N,): scores and each pair's weight, 1/g where its prompt has g pairs -> the weighted sum of -log
    sigma(r_w - r_l).

    A sum, so that a batch's denominator is the caller's and the same however the batch is cut (dpo_vs_ppo.md
    3.1, 9.2.7).
    """
    return -(weights * logsigmoid(chosen - rejected)).sum()


def cost_loss(harmful: Tensor, safer: Tensor, harmful_sign: Tensor, safer_sign: Tensor) -> Tensor:
    """All (N,): costs of the more harmful and of the safer answer, and their signs, +1 unsafe and -1 safe ->
    (N,) losses.

    -log sigma(C_h - C_s) - log sigma(s_h C_h) - log sigma(s_s C_s): the order, and zero as the boundary
    between safe and unsafe (arXiv 2310.12773; dpo_vs_ppo.md 3.4).
    """
    return -logsigmoid(harmful - safer) - logsigmoid(harmful_sign * harmful) - logsigmoid(safer_sign * safer)
