"""Where a response is cut into segments: before uncertain tokens, at line breaks, or into equal parts (spo.md
1).

Every function returns half-open [start, end) token ranges, disjoint and in order, that end at the response's
end. Tokens before the first start belong to no segment.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Literal

import torch
from torch import Tensor

Segments = list[tuple[int, int]]


def partition_cutpoint(
    probabilities: Tensor | Sequence[float],
    rho: float,
    interval: int,
    first_boundary: Literal["first_cutpoint", "prompt"] = "first_cutpoint",
) -> Segments:
    """probabilities (T,) of the sampled tokens -> a new segment before every `interval`-th token that is
    below `rho` (spo.md 1.2).

    A float32 tensor is compared in float32, so that a probability stored as 0.9 is not below 0.9. Without
    such a token there is no segment. `first_boundary` prompt lets the first segment begin at token 0 instead
    of at the first such token (spo.md U1).
    """
    scores = (
        probabilities
        if isinstance(probabilities, Tensor)
        else torch.tensor(list(probabilities), dtype=torch.float64)
    )
    starts = (scores < rho).nonzero().squeeze(1).tolist()[::interval]
    if starts and first_boundary == "prompt":
        starts[0] = 0
    return list(pairwise([*starts, len(scores)])) if starts else []


def partition_newline(pieces: Sequence[str], answer: str = "####") -> Segments:
    """pieces: the text of each token -> a segment for every line that is not blank, its line break at its end
    (spo.md 1.4).

    Blank lines belong to the segment before them, at the beginning to the first. The line that opens with
    `answer` belongs to the one before it when it is the last; "" keeps it apart. A line that begins inside a
    token begins with that token.
    """
    if not pieces:
        return []
    edges = [0, *accumulate(map(len, pieces))]  # offset of each token in the text, then the text's length
    lines = [(start, line) for start, line in _lines("".join(pieces)) if line.strip()]
    if answer and len(lines) > 1 and lines[-1][1].lstrip().startswith(answer):
        lines.pop()
    starts = {bisect_right(edges, start) - 1 for start, _ in lines[1:]} - {0}
    return list(pairwise([0, *sorted(starts), len(pieces)]))


def partition_fixed(length: int, parts: int) -> Segments:
    """`parts` segments of `length` // `parts` tokens, the first `length` % `parts` one longer; never an empty
    one (spo.md 1.3).
    """
    short, longer = divmod(length, parts)
    edges = [0, *accumulate(short + (part < longer) for part in range(parts))]
    return [(start, end) for start, end in pairwise(edges) if start < end]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yields (offset, line) of every line of `text`."""
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1
