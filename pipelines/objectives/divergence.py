"""Per-token estimators of KL(policy || reference) from the policy's samples: k1, k2, k3 of Schulman's note,
and the absolute log ratio.

As rewards they carry no gradient; as loss terms, k2 has the gradient of the KL itself and k1's is 0 in
expectation.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

Estimator = Literal["k1", "k2", "k3", "abs"]
EXPONENT_LIMIT = 10.0


def kl_estimate(logprobs: Tensor, reference_logprobs: Tensor, estimator: Estimator) -> Tensor:
    """Both (N,) -> (N,). With d = reference - policy: k1 = -d, k2 = d^2 / 2, k3 = e^d - d - 1 (at least 0),
    abs = |d|.

    k3, which takes expm1 since a small d would be lost beside 1, limits d to [-10, 10] as in spo.md 4.1;
    beyond, its gradient is 0. Raises ValueError for an unknown estimator.
    """
    if estimator not in get_args(Estimator):
        raise ValueError(f"estimator {estimator!r} of the KL: use one of {', '.join(get_args(Estimator))}")
    difference = reference_logprobs - logprobs
    if estimator == "k1":
        return -difference
    if estimator == "k2":
        return difference.square() / 2
    if estimator == "abs":
        return difference.abs()
    difference = difference.clamp(-EXPONENT_LIMIT, EXPONENT_LIMIT)
    return difference.expm1() - difference
