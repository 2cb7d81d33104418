"""Reward shaping: from verdicts' scores to the rewards that credit compares.

Sources: z-scores reward_bridge.md 3.2, long responses entropy.md 1.5, clipping dpo_vs_ppo.md 3.3.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pipelines.credit.options import ShapingParams

LEAST_STD = 1e-6  # below, a spread is rounding: the float64 deviation of [0.1] * 3 is 1.4e-17, not 0


class Scored(NamedTuple):
    """Normalised rewards (N,) float64, and for each group (in the order of its number) whether its spread was
    too small.
    """

    rewards: Tensor
    unspread: Tensor


def overlong_penalty(lengths: Tensor, limit: int, cache: int) -> Tensor:
    """lengths (N,) in response tokens -> (N,) float64 in [-1, 0]: 0 up to limit - cache, then linearly down
    to -1 at the limit.

    Raises ValueError unless `cache` is above 0.
    """
    if cache <= 0:
        raise ValueError(f"overlong cache {cache}: the length over which the penalty grows must be above 0")
    return ((limit - cache - lengths.double()) / cache).clamp(-1.0, 0.0)


def z_score(rewards: Tensor, groups: Tensor, min_std: float = LEAST_STD) -> Scored:
    """rewards (N,) with NaN where there is no verdict, groups (N,) int -> (r - mean) / std within each group,
    NaN staying NaN.

    Population standard deviation; a group whose own is `min_std` or below gets zeros. One group for all gives
    scope batch.
    """
    known = ~rewards.isnan()
    values = torch.where(known, rewards, 0.0).double()
    numbers, of = torch.unique(groups, return_inverse=True)
    empty = torch.zeros(len(numbers), dtype=torch.float64, device=rewards.device)
    count = empty.index_add(0, of, known.double()).clamp(min=1)
    centred = torch.where(known, values - (empty.index_add(0, of, values) / count)[of], 0.0)
    std = (empty.index_add(0, of, centred.square()) / count).sqrt()
    unspread = std <= min_std
    scaled = torch.where(unspread[of], 0.0, centred / torch.where(unspread, 1.0, std)[of])
    return Scored(torch.where(known, scaled, torch.nan), unspread)


def shape(
    scores: Tensor,
    wrong: Tensor,
    lengths: Tensor,
    groups: Tensor,
    settings: ShapingParams,
    max_new_tokens: int,
) -> tuple[Tensor, dict[str, float]]:
    """scores (N,) NaN without a verdict, wrong (N,) bool, lengths (N,) tokens, each at most `max_new_tokens`,
    groups (N,) prompt numbers -> rewards (N,) float64.

    The figures are means over responses with a verdict (`overlong`, `clipped`), and the share of groups
    without enough spread (`unspread`); each only where its setting is on.
    """
    known, figures = ~scores.isnan(), dict[str, float]()
    rewards = scores.double()
    if settings.wrong_score is not None:
        rewards = torch.where(wrong & known, settings.wrong_score, rewards)
    rewards = (rewards - settings.bias) * settings.scale
    if settings.overlong is not None:
        penalties = overlong_penalty(lengths, *settings.overlong.lengths(max_new_tokens))
        rewards = rewards + penalties
        figures["overlong"] = _mean(penalties[known])
    if settings.clip is not None:
        figures["clipped"] = _mean((rewards[known].abs() > settings.clip).double())
        rewards = rewards.clamp(-settings.clip, settings.clip)
    if settings.normalise != "none":
        scope = groups if settings.normalise == "group" else torch.zeros_like(groups)
        rewards, unspread = z_score(rewards, scope, settings.min_std)
        figures["unspread"] = _mean(unspread.double())
    return rewards, figures


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else 0.0
