"""REINFORCE: the log-probability times the advantage, without a ratio (methods/reward_bridge.md section 5.2)."""

from __future__ import annotations

from torch import Tensor

from pipelines.settings import Choice


def policy_loss(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, selected: Tensor | None, settings: Choice
) -> tuple[Tensor, dict[str, Tensor]]:
    """All (N,) -> token losses (N,) -A log pi, and no figures. `old_logprobs` and `selected` take no part."""
    return -advantages * logprobs, {}
