"""Where a policy's entropy sits: its distribution over tokens, which tokens have most, and what training
leaves of both.

The analyses of forking tokens (arXiv 2506.01939; entropy.md 2.5). All take entropies in nats of fixed tokens,
response positions only, over the full vocabulary at temperature 1. A threshold belongs to the model that it
was measured on and to no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from pipelines.models.logprobs import entropy_of
from pipelines.objectives.masks.top_entropy import top_share

PERCENTILES = tuple(range(0, 101, 5))
CERTAIN = 0.01  # nats; about half of all tokens lie below it in the paper
FORKING = 80  # the percentile that parts forking tokens from the others
Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Distribution:
    """Percentile -> entropy; `certain`: the share of tokens below 0.01 nats; `threshold`: the 80th
    percentile, for `fork_probabilities`.
    """

    n: int
    mean: float
    percentiles: dict[int, float]
    certain: float
    threshold: float


@dataclass(frozen=True)
class TokenType:
    """A token of the vocabulary: how often it stood there, and the mean entropy of the positions at which it
    did.
    """

    token: int
    count: int
    mean: float


@dataclass(frozen=True)
class Overlap:
    """Share of the reference's top tokens that are top tokens here, 0..1, and what independent scores would
    have on average.
    """

    share: float
    chance: float


@dataclass(frozen=True)
class Bin:
    """Tokens between two percentiles of their entropy before training, and how it changed: signed, absolute,
    and the share that rose.
    """

    low: float
    high: float
    n: int
    mean_before: float
    mean_change: float
    mean_absolute_change: float
    share_positive: float


def distribution(entropy: ArrayLike) -> Distribution:
    """entropy (N,), N > 0 -> its percentiles, interpolated between tokens (entropy.md 2.5.A). One per
    checkpoint gives entropy.md 2.5.E.

    ValueError for no token or one that is not finite.
    """
    values = _tokens(entropy)
    levels = np.percentile(values, PERCENTILES)  # not torch.quantile, which refuses more than 2^24 of them
    percentiles = dict(zip(PERCENTILES, levels.tolist(), strict=True))
    return Distribution(
        len(values), float(values.mean()), percentiles, float((values < CERTAIN).mean()), percentiles[FORKING]
    )


def token_types(
    ids: ArrayLike, entropy: ArrayLike, above: int = 100, show: int = 100
) -> tuple[list[TokenType], list[TokenType]]:
    """ids (N,) int and entropy (N,) -> the `show` token types of highest mean entropy, and of lowest, extreme
    first (entropy.md 2.5.A).

    Types that occur more than `above` times; where there are fewer than 2 `show`, some stand in both lists.
    Of equal means: the lower id.
    """
    values, tokens = _tokens(entropy), np.asarray(ids)
    if tokens.shape != values.shape:
        raise ValueError(f"ids {tokens.shape} and entropy {values.shape} must be two lists of one length")
    kinds, owner, counts = np.unique(tokens, return_inverse=True, return_counts=True)
    means = np.bincount(owner, values, len(kinds)) / counts
    often = np.flatnonzero(counts > above)
    rising = often[np.argsort(means[often], kind="stable")]
    falling = often[np.argsort(-means[often], kind="stable")]
    top, bottom = (
        [TokenType(int(kinds[place]), int(counts[place]), float(means[place])) for place in order[:show]]
        for order in (falling, rising)
    )
    return top, bottom


def top_overlap(
    scores: ArrayLike, reference: ArrayLike, share: float = 0.2, lengths: Sequence[int] | None = None
) -> Overlap:
    """scores (N,) and reference (N,) of the same tokens -> |top of scores and top of reference| / |top of
    reference| (entropy.md 2.5.C).

    Ranked over all tokens together or, with `lengths` of the responses, which sum to N, within each and
    averaged over those with tokens (entropy.md U10). A top holds ceil(share * n) tokens, so that short
    responses have a higher level of chance. ValueError for no token, another length, or a share outside (0,
    1].
    """
    ours, theirs = _tokens(scores), _tokens(reference)
    if ours.shape != theirs.shape or (lengths is not None and sum(lengths) != len(ours)):
        raise ValueError(
            f"{len(ours)} scores, {len(theirs)} of the reference, lengths of {sum(lengths or ())}: they must "
            f"be of the same tokens"
        )
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; it must be above 0 and at most 1")
    ends = np.cumsum(lengths if lengths is not None else [len(ours)])[:-1]
    shares = []
    for left, right in zip(np.split(ours, ends), np.split(theirs, ends), strict=True):
        if len(left):
            top_left, top_right = (top_share(torch.from_numpy(part.copy()), share) for part in (left, right))
            size = int(top_right.sum())
            shares.append((int((top_left & top_right).sum()) / size, size / len(left)))
    kept, chance = np.mean(shares, axis=0).tolist()
    return Overlap(kept, chance)


def change_by_percentile(before: ArrayLike, after: ArrayLike, bins: int = 20) -> list[Bin]:
    """before (N,) and after (N,) entropies of the same tokens -> changes in `bins` of equal count by entropy
    before (entropy.md 2.5.D).

    Tokens are put into bins by rank, for the many of entropy 0 would leave bins by value empty; the edges are
    percentiles. Means are signed and absolute (entropy.md U11). ValueError for fewer tokens than bins, or
    another length.
    """
    base, final = _tokens(before), _tokens(after)
    if base.shape != final.shape:
        raise ValueError(f"entropies before {base.shape} and after {final.shape} must be of the same tokens")
    if not 1 <= bins <= len(base):
        raise ValueError(f"{bins} bins of {len(base)} tokens: each needs one at least")
    edges = np.percentile(base, np.linspace(0, 100, bins + 1)).tolist()
    rows = []
    for number, inside in enumerate(np.array_split(np.argsort(base, kind="stable"), bins)):
        change = final[inside] - base[inside]
        means = (float(part.mean()) for part in (base[inside], change, np.abs(change), change > 0))
        rows.append(Bin(edges[number], edges[number + 1], len(inside), *means))
    return rows


def fork_probabilities(logits: Tensor, threshold: float, high: float, low: float) -> Tensor:
    """logits (N, V), untempered -> the probabilities (N, V) to draw from: at temperature `high` where the
    entropy at 1 exceeds `threshold` (nats), at `low` elsewhere (entropy.md 2.5.B). Temperature 0 puts
    everything on the first of the largest logits. float32 at least.

    ValueError for a temperature below 0.
    """
    if min(high, low) < 0:
        raise ValueError(f"temperatures {high} and {low}: none may be below 0")
    full = logits.to(torch.promote_types(logits.dtype, torch.float32))
    forks = entropy_of(torch.log_softmax(full, -1)) > threshold
    temperature = torch.where(forks, full.new_tensor(high), full.new_tensor(low)).unsqueeze(-1)
    centred = full - full.amax(-1, keepdim=True)  # so that a small temperature cannot overflow
    tempered = torch.softmax(centred / torch.where(temperature > 0, temperature, 1.0), -1)
    certain = torch.nn.functional.one_hot(full.argmax(-1), full.shape[-1]).to(full.dtype)
    return torch.where(temperature > 0, tempered, certain)


def _tokens(values: ArrayLike) -> Array:
    column = np.asarray(values, np.float64)
    if column.ndim != 1 or not len(column):
        raise ValueError(
            f"values of shape {column.shape}: a flat list of at least one token is needed, without padding "
            f"or prompt"
        )
    if not np.isfinite(column).all():
        raise ValueError(
            f"token {int(np.flatnonzero(~np.isfinite(column))[0])} of {len(column)} is not finite; no rank "
            f"or mean holds it"
        )
    return column
