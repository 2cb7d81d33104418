"""Keys and values of the rows in flight, written in place; and what a model remembers of a prefix, which any number of rows can fork.

Rows end at a common column, so a token is written to one column of all rows, and rows of unlike length can share a batch: a row that starts
later has unused columns before its `start`. Growing transformers' own cache concatenates, which copies all of it at every token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Layer(NamedTuple):
    """Keys and values of one attention layer: (rows, heads, columns, width), or (heads, columns, width) of one row."""

    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class State:
    """A prefix as the model remembers it: `layers` hold (heads, length, width), `logits` (V,) are those of the next token."""

    layers: Sequence[Layer]
    logits: Tensor
    length: int


class Rows:
    """The caches of the rows in flight. The next token goes to `column`; row r uses columns `starts[r]` to `column` - 1.

    `first` is the lowest start; `bias` (rows, 1, capacity) is -inf before a row's start, or None where all rows start together.
    """

    def __init__(self, layers: list[Layer], starts: Tensor, column: int) -> None:
        self.layers, self.starts, self.column = layers, starts, column
        self._note_starts()

    @classmethod
    def join(cls, old: Rows | None, kept: Tensor, forks: Sequence[tuple[State, int]], new_columns: int) -> Rows:
        """Rows `kept` of `old`, whose caches are freed, then each state's copies; with room for `new_columns` tokens."""
        example = forks[0][0]
        lengths = torch.tensor([state.length for state, copies in forks for _ in range(copies)], device=kept.device)
        if old is not None:
            lengths = torch.cat([(old.column - old.starts)[kept], lengths])
        column = int(lengths.max())
        padded = int(lengths.min()) < column
        layers: list[Layer] = []
        for index, model in enumerate(example.layers):
            parts = []
            for part in range(2):
                heads, _, width = model[part].shape
                buffer = model[part].new_empty(len(lengths), heads, column + new_columns, width)
                if padded:
                    buffer[:, :, :column] = 0  # a masked column counts nothing, unless it holds a NaN
                if old is not None and len(kept):
                    past = min(column, old.column - old.first)
                    buffer[: len(kept), :, column - past : column] = old.layers[index][part][kept, :, old.column - past : old.column]
                row = len(kept)
                for state, copies in forks:
                    buffer[row : row + copies, :, column - state.length : column] = state.layers[index][part]
                    row += copies
                parts.append(buffer)
            layers.append(Layer(*parts))
            if old is not None:
                old.layers[index] = layers[-1]  # frees the old buffers layer by layer: never twice the whole cache
        return cls(layers, column - lengths, column)

    def keep(self, rows: Tensor) -> None:
        """Drop all but `rows`, in place: the kept move to the front."""
        count, used = len(rows), slice(self.first, self.column)
        for index, layer in enumerate(self.layers):
            for buffer in layer:
                buffer[:count, :, used] = buffer[rows, :, used]
            self.layers[index] = Layer(layer.keys[:count], layer.values[:count])
        self.starts = self.starts[rows]
        self._note_starts()

    def states(self, rows: Tensor, logits: Tensor) -> list[State]:
        """A copy of what `rows` remember; `logits` (len(rows), V) are those of their next tokens."""
        copies = [Layer(*(buffer[rows, :, self.first : self.column] for buffer in layer)) for layer in self.layers]
        starts = (self.starts[rows] - self.first).tolist()
        return [
            State(
                [Layer(layer.keys[r, :, start:], layer.values[r, :, start:]) for layer in copies],
                logits[r],
                self.column - self.first - start,
            )
            for r, start in enumerate(starts)
        ]

    def _note_starts(self) -> None:
        self.first = int(self.starts.min())
        self.bias: Tensor | None = None
        if bool((self.starts > self.first).any()):
            columns = torch.arange(self.layers[0].keys.shape[2], device=self.starts.device)
            self.bias = torch.zeros(len(self.starts), 1, len(columns), dtype=self.layers[0].keys.dtype, device=self.starts.device)
            self.bias.masked_fill_(columns < self.starts[:, None, None], float("-inf"))
