"""Whitening: advantages standardised over the tokens that carry loss.

Statistics are over the whole optimiser batch (spo.md 3) or the whole rollout batch (dpo_vs_ppo.md 5.1.5),
never over micro-batches as in the SPO code: a batch's loss must not depend on how it is cut.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

ROUNDING = torch.finfo(torch.float32).eps  # neighbours in bfloat16 lie further apart, and are not alike

Whitening = Literal["none", "standard", "population", "scale_only"]


def whiten(advantages: Tensor, kept: Tensor, how: Whitening = "standard", epsilon: float = 1e-8) -> Tensor:
    """advantages (N,), kept (N,) bool -> (N,) of the same dtype; statistics of kept tokens (of all if none is
    kept), in float64.

    standard: (A - mean) / sqrt(var + epsilon), unbiased (spo.md 3). population: (A - mean) / (std + epsilon)
    (dpo_vs_ppo.md 5.1, reward_bridge.md 9.11). scale_only: A / sqrt(var + epsilon), unbiased; no advantage
    changes its sign. Fewer than two kept tokens, or kept tokens that are all alike but for float32's
    rounding, give zeros.

    Raises ValueError for an unknown `how`, TypeError where `kept` is no bool or advantages are no floats.
    """
    if how not in get_args(Whitening):
        raise ValueError(f"whitening {how!r}: use one of {', '.join(get_args(Whitening))}")
    if kept.dtype != torch.bool or not advantages.is_floating_point():
        raise TypeError(
            f"whitening takes float advantages and a bool mask, not {advantages.dtype} and {kept.dtype}"
        )
    if how == "none":
        return advantages
    counted = (advantages[kept] if bool(kept.any()) else advantages).double()
    if len(counted) < 2 or _alike(counted, min(torch.finfo(advantages.dtype).eps, ROUNDING)):
        return torch.zeros_like(advantages)
    centred = counted - counted.mean()
    squares = centred.square().sum()
    if how == "population":
        divisor = (squares / len(counted)).sqrt() + epsilon
    else:
        divisor = (squares / (len(counted) - 1) + epsilon).sqrt()
    shift = 0.0 if how == "scale_only" else counted.mean()
    return ((advantages.double() - shift) / divisor).to(advantages.dtype)


def _alike(values: Tensor, precision: float) -> bool:
    """Whether they differ by rounding only."""
    lowest, highest = values.aminmax()
    return bool(highest - lowest <= 4 * precision * values.abs().max())
