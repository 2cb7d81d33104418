"""Pack rows for one forward: every distinct context once, every row's own tokens once, no padding in the
linear layers.

A row comes with the pieces of its context: (prompt,) for a flat sample, (prompt, first, second) for an edge
of a tree. Pieces with the same path from the start are one span, whoever they are context of, and a row that
others continue is the same span again: a tree costs its distinct tokens. Scores and gradients are those of
each row alone after its whole context (spo.md 11: packing a tree must reproduce the per-edge loss). Models
whose attention cannot be told about spans get a right-padded batch instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from pipelines.models.attention import Gather, Layout, install
from pipelines.models.logprobs import PLAIN_HEADS, TokenScores, by_chunks, of_logits
from pipelines.models.spans import Spans, lay_out


class PackableRow(Protocol):
    """What is scored: token ids, and the pieces of the context they follow. Neither they nor the whole
    context may be empty.
    """

    @property
    def context(self) -> tuple[tuple[int, ...], ...]: ...

    @property
    def ids(self) -> tuple[int, ...]: ...


class Segment(NamedTuple):
    """The plainest row."""

    context: tuple[tuple[int, ...], ...]
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Packed:
    """A micro-batch of R rows with N tokens of their own. Per-token results go row by row, in the order the
    rows were given.

    ids, positions: (1, T) with a layout; (R, S) right padded without one. Their hidden states are counted
    row-major:
    before: to the N states that each token is predicted from; after: to the R states after each row's last
    token. chosen (N,): the tokens; lengths: tokens of each row.
    """

    ids: Tensor
    positions: Tensor
    layout: Layout | None
    before: Gather
    after: Gather
    chosen: Tensor
    lengths: list[int]

    def to(self, device: torch.device) -> Packed:
        """Returns the same micro-batch on `device`."""
        if self.ids.device == device:
            return self
        layout = self.layout.to(device) if self.layout else None
        before, after = self.before.to(device), self.after.to(device)
        return Packed(
            self.ids.to(device),
            self.positions.to(device),
            layout,
            before,
            after,
            self.chosen.to(device),
            self.lengths,
        )

    def states(self, backbone: Any) -> Tensor:
        """Returns (T or R*S, width): the last hidden states of `backbone`, a transformers model without its
        head.
        """
        return backbone(
            input_ids=self.ids, use_cache=False, **self._arguments(backbone)
        ).last_hidden_state.flatten(0, 1)

    def _arguments(self, backbone: Any) -> dict[str, Any]:
        """Returns the arguments of a transformers forward besides the ids. Padding needs none: no real token
        attends to what follows it.
        """
        if self.layout is None:
            return {}
        install(backbone)
        # A mask of four dimensions is taken as it is; without one, transformers would make its own of T x T.
        mask = torch.zeros(1, 1, 1, 1, device=self.ids.device)
        return {"position_ids": self.positions, "attention_mask": mask, "layout": self.layout}


def can_share(model: Any) -> bool:
    """Returns whether the model supports packed spans: its layers pass unknown arguments on to the attention
    function, and it has no attention window.
    """
    config = model.config
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    sliding = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    return config.model_type in PLAIN_HEADS and set(kinds) == {"full_attention"} and not sliding


def score_rows(
    model: Any, rows: Sequence[PackableRow], temperature: float = 1.0, entropy: bool = True
) -> TokenScores:
    """Scores of all rows' own tokens, row by row, packed as the model allows; on the model's device."""
    return score_packed(model, pack(rows, can_share(model)).to(model.device), temperature, entropy)


def score_packed(model: Any, packed: Packed, temperature: float = 1.0, entropy: bool = True) -> TokenScores:
    """Scores of the N tokens of a micro-batch, row by row.

    Equal, with their gradients, to `logprobs.score` of each row alone, but for the order of floating-point
    sums.
    """
    if model.config.model_type in PLAIN_HEADS:
        states = packed.before(packed.states(model.base_model))
        return by_chunks(model.get_output_embeddings(), states, packed.chosen, temperature, entropy)
    if packed.layout is not None:
        raise ValueError(
            f"a {model.config.model_type} model cannot take shared contexts: pack its rows with shared=False"
        )
    width = packed.ids.shape[1]
    columns = packed.before.index % width
    kept = torch.arange(int(columns.min()), int(columns.max()) + 1, device=packed.ids.device)
    logits = model(input_ids=packed.ids, use_cache=False, logits_to_keep=kept).logits
    chosen = packed.before.index // width * len(kept) + columns - kept[0]
    return of_logits(logits.flatten(0, 1).index_select(0, chosen), packed.chosen, temperature, entropy)


def pack(rows: Sequence[PackableRow], shared: bool = True) -> Packed:
    """Raises ValueError for a row without tokens or without context. An empty piece of a context is passed
    over.
    """
    for index, row in enumerate(rows):
        if not row.ids or not any(row.context):
            raise ValueError(
                f"row {index}: {len(row.ids)} tokens after {len(row.context)} pieces of context; both need "
                f"tokens"
            )
    if not rows:
        raise ValueError("nothing to pack")
    return _share(rows) if shared else _pad(rows)


def _share(rows: Sequence[PackableRow]) -> Packed:
    spans = Spans()
    own = [spans.add((*row.context, row.ids)) for row in rows]
    before = [spans.paths[span][spans.context[span] - 1 : -1] for span in own]
    after = [spans.paths[span][-1] for span in own]
    ids = np.fromiter((token for piece in spans.ids for token in piece), np.int64, spans.size)
    positions = np.concatenate(
        [np.arange(first, first + len(piece)) for first, piece in zip(spans.context, spans.ids, strict=True)]
    )
    return _packed(ids[None], positions[None], lay_out(spans), before, after, rows)


def _pad(rows: Sequence[PackableRow]) -> Packed:
    paths = [[token for piece in (*row.context, row.ids) for token in piece] for row in rows]
    width = max(map(len, paths))
    ids = np.zeros((len(paths), width), np.int64)
    before, after = [], []
    for place, (path, row) in enumerate(zip(paths, rows, strict=True)):
        ids[place, : len(path)] = path
        last = place * width + len(path) - 1
        before.append(np.arange(last - len(row.ids), last))
        after.append(last)
    positions = np.broadcast_to(np.arange(width), ids.shape).copy()
    return _packed(ids, positions, None, before, after, rows)


def _packed(
    ids: Any,
    positions: Any,
    layout: Layout | None,
    before: list[Any],
    after: list[Any],
    rows: Sequence[PackableRow],
) -> Packed:
    gathers = Gather.of(np.concatenate(before)), Gather.of(np.array(after))
    chosen = np.fromiter((token for row in rows for token in row.ids), np.int64)
    lengths = [len(row.ids) for row in rows]
    return Packed(
        torch.from_numpy(ids),
        torch.from_numpy(positions),
        layout,
        *gathers,
        torch.from_numpy(chosen),
        lengths,
    )


def cut(rows: Sequence[PackableRow], budget: int, shared: bool = True) -> list[list[int]]:
    """Rows -> groups of their indices for `pack`, each of at most `budget` tokens (or one row alone), the
    largest first: a memory error comes at once.

    A token that rows share counts once per group; with shared=False, what counts is the padded batch. Rows of
    one prompt stay in one group where they fit into one, and relatives in their tree stay together where they
    do not.
    """
    if not shared:
        return _cut_padded([sum(map(len, row.context)) + len(row.ids) for row in rows], budget)
    families: dict[tuple[int, ...], list[int]] = {}
    for index, row in enumerate(rows):
        families.setdefault(row.context[0], []).append(index)
    parts = [part for members in families.values() for part in _split(rows, members, budget)]
    groups: list[list[int]] = []
    room: list[int] = []
    for size, members in sorted(parts, key=lambda part: (-part[0], part[1][0])):
        place = next((place for place, left in enumerate(room) if size <= left), len(groups))
        if place == len(groups):
            groups.append([])
            room.append(budget)
        groups[place] += members
        room[place] -= size
    return groups


def _split(rows: Sequence[PackableRow], members: list[int], budget: int) -> list[tuple[int, list[int]]]:
    """Returns the (distinct tokens, rows) of a family's parts within the budget; walking down its tree keeps
    relatives together.
    """
    numbers: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    walk = []
    for index in members:
        pieces, place = (*rows[index].context, rows[index].ids), tuple[int, ...]()
        for piece in pieces:
            place = (*place, numbers.setdefault((place, piece), len(numbers)))
        walk.append((place, index, pieces))
    parts: list[tuple[int, list[int]]] = []
    held: set[int] = set()
    for place, index, pieces in sorted(walk):
        more = sum(len(piece) for span, piece in zip(place, pieces, strict=True) if span not in held)
        if not parts or parts[-1][0] + more > budget:
            parts.append((0, []))
            held, more = set(), sum(map(len, pieces))
        parts[-1][1].append(index)
        parts[-1] = (parts[-1][0] + more, parts[-1][1])
        held |= set(place)
    return parts


def _cut_padded(lengths: list[int], budget: int) -> list[list[int]]:
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if groups and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= budget:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
