"""Prefill, decoding step and draw of a lean forward on a CPU in float32: `native`'s kernels between torch's
large products.

A row's numbers do not depend on the rows beside it, to the last bit: each kernel treats a row by itself, and
the matrix library computes a row alike unless a thread gets fewer than FOLD of them, which it divides by
multiples of as many; so products are filled up. Prefill attends column by column with the kernel of the
decoding step, so that a state is the same whether it was decoded, kept or computed again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.rollouts.engines.cache import CacheRows, Layer, cache_buffer
from pipelines.rollouts.engines.cpu.native import attend, attend_columns, draw_rows, rms_norm, silu_product
from pipelines.rollouts.engines.kernels import LayerShape, LayerWeights, packed_linear, packed_linear_with

FOLD = 4


def sample_tokens(logits: Tensor, uniform: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """logits (N, V), float32, uniform (N,), None for the most likely -> ids, log-probs, entropies (N,)."""
    rows = len(logits)
    ids, logprobs, entropy = torch.empty(rows, dtype=torch.long), torch.empty(rows), torch.empty(rows)
    drawn = np.empty(0, np.float32) if uniform is None else uniform.contiguous().numpy()
    draw_rows(logits.contiguous().numpy(), drawn, ids.numpy(), logprobs.numpy(), entropy.numpy())
    return ids, logprobs, entropy


def decode(
    hidden: Tensor,
    layers: list[LayerWeights],
    rows: CacheRows,
    rotations: Tensor,
    head: Tensor,
    plan: LayerShape,
) -> Tensor:
    """`kernels.decode`, the same function of the same caches: hidden (B, H), which it may write to -> logits
    (B, V).

    rotations (positions, width / 2) complex; the keys of `rows` lie by width.
    """
    count, hidden, families = len(hidden), _padded_rows(hidden), rows.families
    angles, starts = torch.view_as_real(rotations).numpy(), rows.starts.numpy()
    if families is None:
        none = (
            np.empty((plan.kv_heads, 1, plan.width, 0), np.float32),
            np.empty((plan.kv_heads, 1, 0, plan.width), np.float32),
        )
        lengths, of = np.zeros(1, np.int64), np.zeros(len(starts), np.int64)
    else:
        lengths, of = families.lengths.numpy(), families.of.numpy()
    for index, weights in enumerate(layers):
        joint = _linear(_normed(hidden, plan), weights.qkv, weights.bias, weights.up is not None)
        keys, values = _arrays(rows.layers[index])
        before = _arrays(families.layers[index]) if families is not None else none
        mixed = _mixed(len(hidden), count, plan)
        attend(
            joint[:count].numpy(),
            _gains(weights, plan),
            plan.head_epsilon,
            angles,
            keys,
            values,
            rows.column,
            starts,
            *before,
            lengths,
            of,
            mixed[:count].numpy(),
        )
        hidden = _after_attention(hidden, mixed, weights, plan)
    return torch.mm(_normed(hidden, plan), head.t())[:count]


def prefill(
    hidden: Tensor,
    layers: list[LayerWeights],
    wanted: tuple[Tensor, Tensor],
    rotations: Tensor,
    head: Tensor,
    plan: LayerShape,
) -> tuple[list[Layer], Tensor]:
    """hidden (F, W, H) of sequences that begin here, padded on the right -> their layers (F, heads, W,
    width), and the logits (N, V) after the tokens at `wanted`, rows and columns (N,).
    """
    families, width, size = hidden.shape
    count, angles = families * width, torch.view_as_real(rotations).numpy()
    hidden, stored = _padded_rows(hidden.transpose(0, 1).reshape(count, size)), []
    for weights in layers:
        joint = _linear(_normed(hidden, plan), weights.qkv, weights.bias, weights.up is not None)
        keys, values = (
            cache_buffer(joint, (plan.kv_heads, families, width, plan.width), by_width)
            for by_width in (True, False)
        )
        mixed = _mixed(len(hidden), count, plan)
        attend_columns(
            joint[:count].view(width, families, -1).numpy(),
            _gains(weights, plan),
            plan.head_epsilon,
            angles,
            *_arrays(Layer(keys, values)),
            mixed[:count].view(width, families, -1).numpy(),
        )
        stored.append(Layer(keys.transpose(0, 1), values.transpose(0, 1)))
        hidden = _after_attention(hidden, mixed, weights, plan)
    rows, columns = wanted
    ends = _padded_rows(hidden[columns * families + rows])
    return stored, torch.mm(_normed(ends, plan), head.t())[: len(rows)]


def _padded_rows(hidden: Tensor) -> Tensor:
    """With rows of zeros up to a multiple of FOLD."""
    return F.pad(hidden, (0, 0, 0, -len(hidden) % FOLD)) if len(hidden) % FOLD else hidden


def _mixed(rows: int, count: int, plan: LayerShape) -> Tensor:
    """Room for what `count` of `rows` rows find; the others are filling."""
    shape = rows, plan.heads * plan.width
    return torch.empty(shape) if rows == count else torch.zeros(shape)


def _gains(weights: LayerWeights, plan: LayerShape) -> Any:
    return np.empty((0, plan.width), np.float32) if weights.gains is None else weights.gains.numpy()


def _after_attention(hidden: Tensor, mixed: Tensor, weights: LayerWeights, plan: LayerShape) -> Tensor:
    """Returns the states after a layer's output projection and feed-forward block, with their residuals."""
    if weights.up is not None:
        hidden = packed_linear_with(mixed, weights.out, hidden, "add")
        normed = _normed(hidden, plan)
        inner = packed_linear_with(
            normed, weights.up, packed_linear(normed, weights.gate, None, "swish"), "mul"
        )
        return packed_linear_with(inner, weights.down, hidden, "add")
    hidden.addmm_(mixed, weights.out)
    joint = torch.mm(_normed(hidden, plan), weights.gate.t())
    inner = torch.empty(len(hidden), joint.shape[1] // 2)
    silu_product(joint.numpy(), inner.numpy())
    return hidden.addmm_(inner, weights.down)


def _normed(hidden: Tensor, plan: LayerShape) -> Tensor:
    normed = torch.empty_like(hidden)
    rms_norm(hidden.numpy(), normed.numpy(), plan.epsilon)
    return normed


def _linear(inner: Tensor, weight: Tensor, bias: Tensor | None, is_packed: bool) -> Tensor:
    if is_packed:
        return packed_linear(inner, weight, bias, "none")
    return torch.mm(inner, weight.t()) if bias is None else torch.addmm(bias, inner, weight.t())


def _arrays(layer: Any) -> tuple[Any, Any]:
    """Returns keys (heads, rows, width, columns), values (heads, rows, columns, width)."""
    return layer.keys.transpose(2, 3).numpy(), layer.values.numpy()
