"""The forward of any Hugging Face causal model whose layers remember keys and values, through its own
code.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from pipelines.models.placement import Placement
from pipelines.models.policy import context_size
from pipelines.rollouts.engines.cache import CacheRows, Layer


class GenericForward:
    """Prefill and single steps of `model`, under the placement's autocast."""

    shares = False
    by_width = False

    def __init__(self, model: Any, placement: Placement) -> None:
        self._model, self._placement, self._last = model, placement, context_size(model) - 1
        self._takes_positions = "position_ids" in signature(model.forward).parameters
        other = {type(layer).__name__ for layer in DynamicCache(config=model.config).layers} - {
            DynamicLayer.__name__,
            DynamicSlidingWindowLayer.__name__,
        }
        if other:
            raise ValueError(
                f"{type(model).__name__} remembers more than keys and values ({', '.join(sorted(other))}): "
                f"it cannot be sampled here"
            )

    def prefill(self, ids: Tensor, rows: Tensor, columns: Tensor) -> tuple[list[Layer], Tensor]:
        """ids (F, W), padded on the right -> the layers, and the logits (N, V) after the tokens at (rows,
        columns).
        """
        # Plain layers for all: a model with sliding windows masks what lies outside them.
        cache: Any = DynamicCache()
        wanted, place = columns.unique(return_inverse=True)
        with self._placement.autocast():
            logits = self._model(
                input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=wanted
            ).logits
        return [Layer(layer.keys, layer.values) for layer in cache.layers], logits[rows, place]

    def step(self, ids: Tensor, rows: CacheRows) -> Tensor:
        """Feed ids (B,), one token to each row; logits (B, V) of the next."""
        cache = DynamicCache()
        cache.layers = [_Window(layer, rows.first, rows.column) for layer in rows.layers]
        extra = (
            {"position_ids": (rows.offsets + rows.column).clamp_max(self._last)[:, None]}
            if self._takes_positions
            else {}
        )
        # A batch without padding needs no mask, and attention without a mask is faster.
        mask = None
        if rows.bias is not None:
            mask = (
                torch.arange(rows.first, rows.column + 1, device=ids.device) >= rows.starts[:, None]
            ).long()
        rows.column += 1
        with self._placement.autocast():
            return self._model(
                input_ids=ids[:, None], attention_mask=mask, past_key_values=cache, use_cache=True, **extra
            ).logits[:, -1]


class _Window(DynamicLayer):
    """Presents columns `first` to `column` of a layer's buffers as transformers' cache, and writes the new
    ones in place.
    """

    keys: Any
    values: Any

    def __init__(self, layer: Layer, first: int, column: int) -> None:
        super().__init__()
        self.keys, self.values = layer.keys.transpose(0, 1), layer.values.transpose(0, 1)
        self._first, self._column, self.is_initialized = first, column, True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        end = self._column + key_states.shape[2]
        self.keys[:, :, self._column : end] = key_states
        self.values[:, :, self._column : end] = value_states
        self._column = end
        return self.keys[:, :, self._first : end], self.values[:, :, self._first : end]

    def get_seq_length(self) -> int:
        return self._column - self._first
