"""Distance of a policy from its reference, estimated on its own samples: KL, and mass on answers that the
reference would not give.

KL(policy || reference) = E[sum over the answer's tokens of log pi - log pi_ref]; single terms may be negative
and are not clamped (dpo_vs_ppo.md 9.2.29).

Out of distribution is an answer whose log-probability per token under the reference lies below the 1 %
quantile of that of the reference's own samples on the same prompts. The reference has 1 % there by
definition; DPO may move mass there and KL-regularised PPO hardly (dpo_vs_ppo.md 6.1). Where answers can be
enumerated, `uncovered_mass` is exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.evaluation.bootstrap import bootstrap
from pipelines.evaluation.intervals import mean_of, share_of

QUANTILE = 0.01


def kl_from_reference(
    logprobs: Sequence[float],
    reference: Sequence[float],
    lengths: Sequence[int],
    prompts: Sequence[str],
    seed: int = 0,
) -> dict[str, object]:
    """Summed log-probs (N,) of sampled answers under the policy that gave them and under the reference;
    tokens of each.

    -> {sequence: {n, mean, low, high} in nats per answer, token: {mean, low, high} in nats per token};
    intervals over prompts.
    """
    terms = np.asarray(logprobs, np.float64) - np.asarray(reference, np.float64)
    counts = np.asarray(lengths, np.float64)
    low, high = bootstrap([terms, counts], prompts, lambda sums, _: sums[0] / sums[1], seed)
    per_token = {"mean": float(terms.sum() / counts.sum()), "low": low, "high": high}
    return {"sequence": mean_of(terms.tolist(), prompts, seed), "token": per_token}


def out_of_distribution(
    reference: Sequence[float],
    lengths: Sequence[int],
    own: Sequence[float],
    own_lengths: Sequence[int],
    prompts: Sequence[str],
) -> dict[str, object]:
    """Returns the share of the policy's answers whose summed log-prob under the reference is below the
    threshold that the reference's `own` answers give.

    -> {n, right, share, low, high, threshold (nats per token), quantile, reference_answers}; Wilson's
    interval over prompts.
    """
    threshold = float(
        np.quantile(np.asarray(own, np.float64) / np.asarray(own_lengths, np.float64), QUANTILE)
    )
    below = np.asarray(reference, np.float64) / np.asarray(lengths, np.float64) < threshold
    share = share_of(below.astype(float).tolist(), prompts)
    return {**share, "threshold": threshold, "quantile": QUANTILE, "reference_answers": len(own)}


def uncovered_mass(policy: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """policy (..., prompts, answers), covered bool of the same -> (...) mass on answers outside, mean over
    prompts; exact.
    """
    return np.where(covered, 0.0, policy).sum(-1).mean(-1)
