"""Keys and values of the rows in flight, written in place; and what a model remembers of a prefix, which any
number of rows can fork.

Rows that continue one prefix are a family. Its keys and values are held once and read once for all of them,
which beats a copy for each
row: a step's attention is bound by what it reads. Each row's own tokens lie behind, in a buffer of its own.
Rows end at a common column, so a token is written to one column of all rows, and rows of unlike length can
share a batch: a row that starts later has unused columns before its `start`. Growing transformers' own cache
concatenates, which copies all of it at every token.

Heads come before rows: the queries of a family lie side by side then, whether they meet the shared keys or
their own. A forward that wants its keys `by_width` gets them with columns innermost in memory, so that one
vector instruction serves as many tokens as it has lanes; the order of the dimensions stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Layer(NamedTuple):
    """Keys and values of one attention layer: (heads, rows or families, columns, width), or (heads, columns,
    width) of one prefix.
    """

    keys: Tensor
    values: Tensor


# floats of a vector, and of a cache line: so many numbers after the last key by width may be read in vain
SLACK = 16


def cache_buffer(like: Tensor, shape: Sequence[int], by_width: bool) -> Tensor:
    """Returns an uninitialised buffer of `shape`, (heads, rows, columns, width). With `by_width` its columns
    are the innermost dimension, and SLACK numbers follow.
    """
    if not by_width:
        return like.new_empty(*shape)
    heads, rows, columns, width = shape
    size = math.prod(shape)
    return like.new_empty(size + SLACK)[:size].view(heads, rows, width, columns).transpose(2, 3)


@dataclass(frozen=True)
class PrefixState:
    """A prefix as the model remembers it: `layers` hold (heads, length, width), `logits` (V,) are those of
    the next token.
    """

    layers: Sequence[Layer]
    logits: Tensor
    length: int


@dataclass
class SharedPrefixes:
    """The prefixes of F families: `layers` hold (heads, F, columns, width), each prefix in the last `lengths`
    (F,) of the columns.

    `of` (rows,) is the family of each row. `bias` (F, 1, columns) is -inf before a prefix, or None where all
    are of one length. Where families are unlike in size, or rows in another order: `slots` (rows,) are the
    rows' places among F x the largest size, and `members` (places,) the rows at these places, any row where
    none is; else both are None.
    """

    layers: list[Layer]
    lengths: Tensor
    of: Tensor
    by_width: bool = False

    def __post_init__(self) -> None:
        _, count, columns, _ = self.layers[0].keys.shape
        self.bias: Tensor | None = None
        if bool((self.lengths < columns).any()):
            place = torch.arange(columns, device=self.lengths.device)
            self.bias = torch.zeros(
                count, 1, columns, dtype=self.layers[0].keys.dtype, device=self.lengths.device
            )
            self.bias.masked_fill_(place < (columns - self.lengths)[:, None, None], float("-inf"))
        self._find_places(count)

    @classmethod
    def join(
        cls,
        old: SharedPrefixes | None,
        kept: Tensor,
        forks: Sequence[tuple[PrefixState, int]],
        by_width: bool,
    ) -> SharedPrefixes:
        """Returns the families of the rows `kept` of `old`, followed by one for each state and its copies."""
        lengths = torch.tensor([state.length for state, _ in forks], device=kept.device)
        of = torch.arange(len(forks), device=kept.device).repeat_interleave(
            torch.tensor([copies for _, copies in forks], device=kept.device)
        )
        alive = kept[:0]
        if old is not None and len(kept):
            alive, before = old.of[kept].unique(return_inverse=True)
            lengths, of = torch.cat([old.lengths[alive], lengths]), torch.cat([before, of + len(alive)])
        columns = int(lengths.max())
        layers: list[Layer] = []
        for index, model in enumerate(forks[0][0].layers):
            parts = []
            for part in range(2):
                heads, _, width = model[part].shape
                buffer = cache_buffer(
                    model[part], (heads, len(lengths), columns, width), by_width and part == 0
                ).zero_()
                if old is not None and len(alive):
                    past = min(columns, old.layers[index][part].shape[2])
                    buffer[:, : len(alive), columns - past :] = old.layers[index][part][:, alive, -past:]
                for place, (state, _) in enumerate(forks, len(alive)):
                    buffer[:, place, columns - state.length :] = state.layers[index][part]
                parts.append(buffer)
            layers.append(Layer(*parts))
        return cls(layers, lengths, of, by_width)

    def keep(self, rows: Tensor) -> SharedPrefixes:
        """Returns the prefixes of `rows`, which move to the front."""
        alive, of = self.of[rows].unique(return_inverse=True)
        if len(alive) == len(self.lengths):
            return SharedPrefixes(self.layers, self.lengths, of, self.by_width)
        longest = int(self.lengths[alive].max())
        layers = [
            Layer(*(part[:, :, -longest:].index_select(1, alive) for part in layer)) for layer in self.layers
        ]
        if self.by_width:
            layers = [
                Layer(cache_buffer(keys, keys.shape, by_width=True).copy_(keys), values)
                for keys, values in layers
            ]
        return SharedPrefixes(layers, self.lengths[alive], of, self.by_width)

    def _find_places(self, count: int) -> None:
        sizes = self.of.bincount(minlength=count)
        most = int(sizes.max())
        self.slots: Tensor | None = None
        self.members: Tensor | None = None
        order = self.of.argsort(stable=True)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device) - (
            sizes.cumsum(0) - sizes
        ).repeat_interleave(sizes)
        slots = self.of * most + rank
        if len(slots) < count * most or bool((slots[1:] < slots[:-1]).any()):
            self.slots = slots
            self.members = slots.new_zeros(count * most)
            self.members[slots] = torch.arange(len(slots), device=slots.device)


class CacheRows:
    """The caches of the rows in flight. The next token goes to `column`; row r uses columns `starts[r]` to
    `column` - 1 of `layers`, and its family's prefix before them where there are `families`.

    `first` is the lowest start; `bias` (rows, 1, capacity) is -inf before a row's start, or None where all
    rows start together; `offsets` (rows,) and a column make its position in each row's sequence.
    """

    def __init__(
        self,
        layers: list[Layer],
        starts: Tensor,
        column: int,
        families: SharedPrefixes | None,
        by_width: bool = False,
    ) -> None:
        self.layers, self.starts, self.column, self.families, self._by_width = (
            layers,
            starts,
            column,
            families,
            by_width,
        )
        self._note_starts()

    @classmethod
    def join(
        cls,
        old: CacheRows | None,
        kept: Tensor,
        forks: Sequence[tuple[PrefixState, int]],
        new_columns: int,
        share: bool,
        by_width: bool,
    ) -> CacheRows:
        """Rows `kept` of `old`, whose caches are freed, then each state's copies; with room for `new_columns`
        tokens.

        With `share`, copies of a state are a family; else each is a row of its own from the first column on.
        `share` and `by_width` are the same at every join.
        """
        example = forks[0][0]
        lengths = torch.tensor(
            [0 if share else state.length for state, copies in forks for _ in range(copies)],
            device=kept.device,
        )
        if old is not None:
            lengths = torch.cat([(old.column - old.starts)[kept], lengths])
        column = int(lengths.max())
        padded = int(lengths.min()) < column
        families = (
            SharedPrefixes.join(old.families if old is not None else None, kept, forks, by_width)
            if share
            else None
        )
        # whole cache lines, so that what lies by width begins at their bounds
        capacity = -(-(column + new_columns) // SLACK) * SLACK
        layers: list[Layer] = []
        for index, model in enumerate(example.layers):
            parts = []
            for part in range(2):
                heads, _, width = model[part].shape
                buffer = cache_buffer(
                    model[part], (heads, len(lengths), capacity, width), by_width and part == 0
                )
                if padded:
                    buffer[:, :, :column] = 0  # a masked column counts nothing, unless it holds a NaN
                if old is not None and len(kept):
                    past = min(column, old.column - old.first)
                    buffer[:, : len(kept), column - past : column] = old.layers[index][part][
                        :, kept, old.column - past : old.column
                    ]
                row = len(kept)
                for state, copies in () if share else forks:
                    buffer[:, row : row + copies, column - state.length : column] = state.layers[index][part][
                        :, None
                    ]
                    row += copies
                parts.append(buffer)
            layers.append(Layer(*parts))
            if old is not None:
                # frees the old buffers layer by layer: never twice the whole cache
                old.layers[index] = layers[-1]
        return cls(layers, column - lengths, column, families, by_width)

    def keep(self, rows: Tensor) -> None:
        """Drop all but `rows`, in place: the kept move to the front."""
        used = slice(self.first, self.column)
        for index, layer in enumerate(self.layers):
            parts = []
            for buffer, turned in zip(layer, (self._by_width, False), strict=True):
                stored = buffer.transpose(2, 3) if turned else buffer
                heads, _, *inner = stored.shape
                front = stored.view(-1)[: heads * len(rows) * math.prod(inner)].view(heads, len(rows), *inner)
                front = front.transpose(2, 3) if turned else front
                front[:, :, used] = buffer[:, rows, used]
                parts.append(front)
            self.layers[index] = Layer(*parts)
        self.starts = self.starts[rows]
        if self.families is not None:
            self.families = self.families.keep(rows)
        self._note_starts()

    @property
    def even(self) -> bool:
        """Whether all rows are of one length, `span`."""
        return self.bias is None and (self.families is None or self.families.bias is None)

    @property
    def span(self) -> int:
        """Columns that a step reads: no row is longer."""
        own = self.column - self.first
        return own if self.families is None else own + self.families.layers[0].keys.shape[2]

    def states(self, rows: Tensor, logits: Tensor) -> list[PrefixState]:
        """Returns a copy of the caches of `rows`; `logits` (len(rows), V) are those of their next tokens."""
        copies = [
            Layer(*(buffer[:, rows, self.first : self.column] for buffer in layer)) for layer in self.layers
        ]
        starts = (self.starts[rows] - self.first).tolist()
        before = [0] * len(starts)
        if self.families is not None:
            of = self.families.of[rows]
            before = self.families.lengths[of].tolist()
            copies = [
                Layer(*(torch.cat([prefix[:, of], own], 2) for prefix, own in zip(*both, strict=True)))
                for both in zip(self.families.layers, copies, strict=True)
            ]
        own = self.column - self.first
        return [
            PrefixState(
                [Layer(*(_tokens(part[:, r], length, start, own) for part in layer)) for layer in copies],
                logits[r],
                length + own - start,
            )
            for r, (length, start) in enumerate(zip(before, starts, strict=True))
        ]

    def _note_starts(self) -> None:
        self.first = int(self.starts.min())
        self.offsets = (
            -self.starts if self.families is None else self.families.lengths[self.families.of] - self.starts
        )
        self.bias: Tensor | None = None
        if bool((self.starts > self.first).any()):
            columns = torch.arange(self.layers[0].keys.shape[2], device=self.starts.device)
            self.bias = torch.zeros(
                len(self.starts), 1, len(columns), dtype=self.layers[0].keys.dtype, device=self.starts.device
            )
            self.bias.masked_fill_(columns < self.starts[:, None, None], float("-inf"))


def _tokens(part: Tensor, before: int, start: int, own: int) -> Tensor:
    """part (heads, columns, width), whose last `own` columns are a row's from `start` on, after a prefix of
    `before` -> without gaps.
    """
    columns = part.shape[1]
    if start == 0 or before == 0:
        return part[:, columns - own - before + start :]
    return torch.cat([part[:, columns - own - before : columns - own], part[:, columns - own + start :]], 1)
