"""The distinct spans of a micro-batch, and how they are laid out in blocks for attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pipelines.models.attention import AttentionBlock, Gather, Layout

WASTE = 1.15  # padded slots a block may have for each real one
SMALL = 8192  # query-key pairs that are cheaper padded than computed in a call of their own


class Spans:
    """The distinct spans of a micro-batch, parents first. Of each: ids, start among the T tokens, tokens
    before it on its path, and the path itself as places among the T tokens, its own included.
    """

    def __init__(self) -> None:
        self.ids: list[tuple[int, ...]] = []
        self.starts: list[int] = []
        self.context: list[int] = []
        self.paths: list[Any] = []
        self.size = 0
        self._known: dict[tuple[int, tuple[int, ...]], int] = {}

    def add(self, pieces: Sequence[tuple[int, ...]]) -> int:
        """Returns the span at the end of the path `pieces`, and adds the spans of the path that are new.
        Empty pieces are skipped.
        """
        span = -1
        for piece in pieces:
            if piece:
                span = self._child(span, piece)
        return span

    def tokens(self, span: int) -> Any:
        """Returns the span's own tokens."""
        return self.paths[span][self.context[span] :]

    def _child(self, parent: int, ids: tuple[int, ...]) -> int:
        span = self._known.setdefault((parent, ids), len(self.ids))
        if span == len(self.ids):
            earlier = self.paths[parent] if parent >= 0 else np.zeros(0, np.int64)
            self.ids.append(ids)
            self.starts.append(self.size)
            self.context.append(len(earlier))
            self.paths.append(np.concatenate([earlier, np.arange(self.size, self.size + len(ids))]))
            self.size += len(ids)
        return span


def lay_out(spans: Spans) -> Layout:
    """Returns the blocks of all spans, and the indices that move their tokens into the blocks and back."""
    blocks: list[AttentionBlock] = []
    queries: list[Any] = []
    keys: list[Any] = []
    asked: list[Any] = []
    known: list[Any] = []
    # asked, known: which slots are no padding
    home = np.zeros(spans.size, np.int64)
    q = 0
    for members in _blocks(spans):
        wide = max(len(spans.paths[span]) for span in members)
        tall = max(len(spans.ids[span]) for span in members)
        block_queries, block_keys = (
            np.zeros((len(members), tall), np.int64),
            np.zeros((len(members), wide), np.int64),
        )
        block_asked, block_known = np.zeros((len(members), tall), bool), np.zeros((len(members), wide), bool)
        for row, span in enumerate(members):
            path, own = spans.paths[span], spans.paths[span][spans.context[span] :]
            block_queries[row, : len(own)] = own
            block_asked[row, : len(own)] = True
            block_keys[row, : len(path)] = path
            block_known[row, : len(path)] = True
            home[own] = q + row * tall + np.arange(len(own))
        offsets = np.array([spans.context[span] for span in members])
        blocks.append(
            AttentionBlock(len(members), tall, wide, torch.from_numpy(offsets) if offsets.any() else None)
        )
        q += block_queries.size
        for joined, part in (
            (queries, block_queries),
            (keys, block_keys),
            (asked, block_asked),
            (known, block_known),
        ):
            joined.append(part.ravel())
    pairs = ((queries, asked), (keys, known))
    into = [Gather.of(np.concatenate(index), np.concatenate(counts)) for index, counts in pairs]
    return Layout(tuple(blocks), into[0], into[1], Gather.of(home))


def _blocks(spans: Spans) -> list[list[int]]:
    """Returns the spans of each block: similar shapes together, so that little is padding, and spans without
    context apart from the others.
    """
    shapes = [(len(path), len(ids)) for path, ids in zip(spans.paths, spans.ids, strict=True)]
    blocks: list[list[int]] = []
    for first in (True, False):
        members = [span for span, context in enumerate(spans.context) if (context == 0) == first]
        group: list[int] = []
        wide = tall = pairs = 0
        for span in sorted(members, key=lambda span: (-shapes[span][0], -shapes[span][1], span)):
            keys, own = shapes[span]
            wide, tall, pairs = max(wide, keys), max(tall, own), pairs + keys * own
            if group and (len(group) + 1) * tall * wide > WASTE * pairs + SMALL:
                blocks.append(group)
                group, wide, tall, pairs = [], keys, own, keys * own
            group.append(span)
        if group:
            blocks.append(group)
    return blocks
