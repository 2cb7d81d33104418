"""The critic's loss (dpo_vs_ppo.md 5.1.8)."""

from __future__ import annotations

from torch import Tensor


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float | None) -> Tensor:
    """All (N,), in one unit (normalised when value normalisation is on) -> token losses (N,), to be averaged
    over tokens.

    1/2 max((V - G)^2, (V_c - G)^2) with V_c = V_old + clip(V - V_old, -clip, clip); clip None gives 1/2 (V -
    G)^2.
    """
    plain = (values - returns).square()
    if clip is None:
        return plain / 2
    limited = old_values + (values - old_values).clamp(-clip, clip)
    return plain.maximum((limited - returns).square()) / 2
