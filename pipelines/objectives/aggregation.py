"""One denominator: per-token losses become one number by weights that are fixed over the whole optimiser
batch before it is cut.

Every micro-batch then adds `sum(weight * loss)`, so that its size, order and number change nothing
(entropy.md 1.2, 1.3, 8.4). A mask's denominator `kept` means counts of kept tokens here, `all` counts of all
response tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

Aggregation = Literal["token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "seq_mean_token_sum_norm"]


def sequence_weights(
    counts: Sequence[int], aggregation: Aggregation, divisor: int | None = None
) -> list[float]:
    """counts: loss-carrying tokens of each sequence of the batch -> the weight of each of its tokens.

    token_mean: 1 / all tokens. seq_mean_token_mean: 1 / (sequences * own tokens). seq_mean_token_sum: 1 /
        sequences.
    seq_mean_token_sum_norm: 1 / (sequences * divisor), with one constant for all lengths such as the longest
    allowed response. A sequence without loss-carrying tokens counts as a sequence, and has none that its
    weight could be applied to. No sequences: no weights.

    Raises ValueError for an unknown aggregation, and without the divisor where one is needed.
    """
    if aggregation not in get_args(Aggregation):
        raise ValueError(f"aggregation {aggregation!r}: use one of {', '.join(get_args(Aggregation))}")
    total = sum(counts)
    if aggregation == "token_mean":
        return [1.0 / total if total else 0.0] * len(counts)
    if aggregation == "seq_mean_token_mean":
        return [1.0 / (len(counts) * count) if count else 0.0 for count in counts]
    if aggregation == "seq_mean_token_sum":
        return [1.0 / max(1, len(counts))] * len(counts)
    if divisor is None:
        raise ValueError("seq_mean_token_sum_norm needs the constant that token sums are divided by")
    return [1.0 / max(1, len(counts) * divisor)] * len(counts)
