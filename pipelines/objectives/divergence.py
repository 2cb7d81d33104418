"""Per-token estimators of KL(policy || reference) from sampled tokens, usable as a loss term (k1, k2, k3 of Schulman's note)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Estimator = Literal["k1", "k2", "k3"]


def kl_estimate(logprobs: Tensor, reference_logprobs: Tensor, estimator: Estimator) -> Tensor:
    """Both (N,) -> (N,). With d = reference - policy: k1 = -d, k2 = d^2 / 2, k3 = e^d - d - 1, which is never negative.

    d is limited to [-10, 10] as in methods/spo.md section 4.1. As a loss, k2 has the gradient of the KL itself; k1's is 0 in expectation.
    """
    difference = (reference_logprobs - logprobs).clamp(-10.0, 10.0)
    if estimator == "k1":
        return -difference
    if estimator == "k2":
        return difference.square() / 2
    return difference.exp() - difference - 1
