"""REINFORCE: the log-probability times the advantage, without a ratio (reward_bridge.md 5.2)."""

from __future__ import annotations

from torch import Tensor

from pipelines.settings import Choice

NEEDS = ("own_samples",)


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    selected: Tensor | None = None,
    settings: Choice | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """All (N,) -> token losses (N,) -A log pi, and no figures. `old_logprobs`, `selected` and `settings` take
    no part.
    """
    return -advantages * logprobs, {}
