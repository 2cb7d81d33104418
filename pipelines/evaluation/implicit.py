"""The implicit reward of a policy trained on preferences: beta (log pi - log pi_ref), and how well it orders
pairs.

What the loss of DPO trains is a reward model with this reward (dpo_vs_ppo.md 4.1). Log-probs are sums over
the answer's tokens, the end token included and the prompt not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.evaluation.assessment_params import RewardReportParams
from pipelines.evaluation.reward_accuracy import preference_accuracy
from pipelines.evaluation.scores import Preferred


def implicit_rewards(policy: np.ndarray, reference: np.ndarray, beta: float) -> np.ndarray:
    """Summed log-probs, both (N, 2) as chosen, rejected -> (N, 2) rewards in float64."""
    policy, reference = np.asarray(policy, np.float64), np.asarray(reference, np.float64)
    if policy.shape != reference.shape or policy.ndim != 2 or policy.shape[1] != 2:
        raise ValueError(f"log-probs of shapes {policy.shape} and {reference.shape}; both must be (pairs, 2)")
    return beta * (policy - reference)


def implicit_accuracy(
    pairs: Sequence[Preferred],
    policy: np.ndarray,
    reference: np.ndarray,
    beta: float,
    settings: RewardReportParams,
) -> dict[str, Any]:
    """`preference_accuracy` of the implicit rewards. At policy = reference every pair is a tie and the
    accuracy a half.
    """
    rewards = implicit_rewards(policy, reference, beta)
    return preference_accuracy(pairs, rewards[:, 0], rewards[:, 1], settings)
