"""A key-value cache that is allocated once and written in place, for any Hugging Face causal model with plain attention layers.

Transformers' own layer concatenates at every token, which copies the whole cache each time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer


class FixedLayer(DynamicLayer):
    """Keys and values of one layer, (rows, heads, length, width). Filled by one prefill, forked once, then grown in place."""

    keys: Any  # tensors once the prefill has run, None before
    values: Any

    def __init__(self, length: int) -> None:
        super().__init__()
        self.capacity, self.used = length, 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append; returns views of all that is stored."""
        if not self.is_initialized:
            self.keys, self.values = key_states, value_states
            self.is_initialized, self.used = True, key_states.shape[2]
            return key_states, value_states
        end = self.used + key_states.shape[2]
        self.keys[:, :, self.used : end] = key_states
        self.values[:, :, self.used : end] = value_states
        self.used = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        """Positions stored."""
        return self.used

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Fork each row `repeats` times into the buffer of full length."""
        self.keys = self._spread(self.keys, repeats)
        self.values = self._spread(self.values, repeats)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows `indices`, moved to the front."""
        count = len(indices)
        for buffer in (self.keys, self.values):
            buffer[:count, :, : self.used] = buffer[indices, :, : self.used]
        self.keys, self.values = self.keys[:count], self.values[:count]

    def _spread(self, stored: Tensor, repeats: int) -> Tensor:
        rows, heads, used, width = stored.shape
        buffer = torch.empty(rows, repeats, heads, self.capacity, width, dtype=stored.dtype, device=stored.device)
        buffer[:, :, :, :used] = stored[:, None]
        return buffer.flatten(0, 1)


def fixed_cache(model: Any, length: int) -> DynamicCache:
    """A cache for `length` positions. Layers that are not plain attention (sliding window, recurrent) keep transformers' own kind."""
    cache = DynamicCache(config=model.config)
    cache.layers = [FixedLayer(length) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
