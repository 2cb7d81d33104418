"""Draw one token per row: inverse CDF of a counter-based uniform, with log-prob and entropy from the same
softmax.

On a CPU this is far cheaper than `torch.multinomial`, and the row's uniform does not depend on its
neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.rollouts.engines.cpu import kernels_for
from pipelines.rollouts.engines.kernels import sample_tokens
from pipelines.rollouts.rollout_params import SamplingParams


def draw(logits: Tensor, uniform: Tensor, sampling: SamplingParams) -> tuple[Tensor, Tensor, Tensor]:
    """logits (N, V), uniform (N,) in [0, 1) -> ids (N,), log-probs (N,) and entropies (N,) of the sampling
    distribution.

    At temperature 0 the most likely token is taken; log-prob and entropy are those of the untempered
    distribution then.
    """
    logits = logits.float()
    greedy = sampling.temperature == 0
    if not greedy and sampling.temperature != 1.0:
        logits = logits / sampling.temperature
    restricted = not greedy and (sampling.top_p < 1 or sampling.top_k > 0)
    if restricted:
        logits = restrict(logits, sampling.top_p, sampling.top_k)
    if (compiled := kernels_for(logits.device, logits.dtype)) is not None:
        picked: tuple[Tensor, Tensor, Tensor] = compiled.sample_tokens(logits, None if greedy else uniform)
        return picked
    return sample_tokens(logits, None if greedy else uniform, restricted)


def restrict(logits: Tensor, top_p: float, top_k: int) -> Tensor:
    """-inf outside the `top_k` most likely tokens and outside the smallest set whose probability reaches
    `top_p`.
    """
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = torch.softmax(ordered, -1)
    dropped = (
        probabilities.cumsum(-1) - probabilities >= top_p
        if top_p < 1
        else torch.zeros_like(ordered, dtype=torch.bool)
    )
    dropped[:, 0] = False
    if top_k:
        dropped[:, top_k:] = True
    return logits.masked_fill(torch.zeros_like(dropped).scatter(1, order, dropped), float("-inf"))
