"""Attention over packed spans: a transformers attention function that lets every span see its own context and
nothing else.

The linear layers of a packed forward run over one row of T tokens. Only attention needs to know where spans
begin and what lies before
them: it gathers queries and keys into a few blocks of like shape, calls scaled_dot_product_attention on each,
and puts the results back. Registered with transformers under NAME; without a layout among its arguments
(sampling, padded batches) it is transformers' own `sdpa`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

NAME = "whetstone_spans"
# queries x keys of a span up to which plain products beat the CPU's flash kernel: 3 x at 18 x 32, 1.1 x at
# 100 x 100
SMALL_PAIRS = 2**13


@dataclass(frozen=True)
class AttentionBlock:
    """Spans that attend in one call: `spans` x (`queries`, `keys`) slots, right padded.

    offsets (spans,): the key position of each span's first query; query i sees the keys 0 .. offset + i.
    None: no span has a context, so that the kernel's own causal order holds and no mask is made.
    """

    spans: int
    queries: int
    keys: int
    offsets: Tensor | None
    _biases: dict[object, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def bias(self, dtype: torch.dtype) -> Tensor | None:
        """Returns (spans, 1, queries, keys): 0 where a query may attend, -inf elsewhere; computed once for
        all layers. No row is without a key.
        """
        if self.offsets is None:
            return None
        if dtype not in self._biases:
            places = torch.arange(self.queries, device=self.offsets.device) + self.offsets[:, None]
            seen = torch.arange(self.keys, device=self.offsets.device) <= places[:, :, None]
            self._biases[dtype] = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(
                ~seen, float("-inf")
            )[:, None]
        return self._biases[dtype]

    def causal(self, groups: int, repeats: int) -> Tensor:
        """Returns the bias (spans * groups or 1, queries * repeats, keys) float32 for plain products, whose
        rows are the heads of one query, then those of the next.
        """
        if (groups, repeats) not in self._biases:
            bias = self.bias(torch.float32)
            if bias is None:
                mask = torch.full((self.queries, self.keys), float("-inf")).triu_(1)[None]
            else:
                mask = bias[:, 0].repeat_interleave(groups, 0)
            self._biases[groups, repeats] = mask.repeat_interleave(repeats, 1)
        return self._biases[groups, repeats]


@dataclass(frozen=True)
class Gather:
    """Rows to copy into slots, and the way back for their gradient.

    index (slots,): the row in each slot. back: of the rows with m slots that count, for every m: (rows (C,),
    their slots (C, m)). Slots that do not count (padding, results nobody reads) pass no gradient.
    """

    index: Tensor
    back: tuple[tuple[Tensor, Tensor], ...]

    @classmethod
    def of(cls, index: Any, counts: Any = None) -> Gather:
        """index (slots,) numpy integers; counts (slots,) numpy bool, None: all."""
        slots = np.arange(len(index)) if counts is None else np.flatnonzero(counts)
        slots = slots[np.argsort(index[slots], kind="stable")]
        rows, starts, often = np.unique(index[slots], return_index=True, return_counts=True)
        back = []
        for count in np.unique(often):
            which = often == count
            table = slots[starts[which][:, None] + np.arange(count)]
            back.append((torch.from_numpy(rows[which]), torch.from_numpy(table)))
        return cls(torch.from_numpy(index), tuple(back))

    def to(self, device: torch.device) -> Gather:
        """Returns the same gather with its indices on `device`."""
        return Gather(
            self.index.to(device), tuple((rows.to(device), slots.to(device)) for rows, slots in self.back)
        )

    def __call__(self, rows: Tensor) -> Tensor:
        """rows (any, width) -> (slots, width)."""
        return _Take.apply(rows, self)


class _Take(torch.autograd.Function):
    """rows.index_select(0, index) with a gradient made of copies and sums in a fixed order. PyTorch's own
    adds row by row: several times slower on a CPU, and in no fixed order on a GPU.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, gather: Gather) -> Tensor:
        ctx.gather, ctx.rows = gather, len(rows)
        return rows.index_select(0, gather.index)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        total = gradient.new_zeros(ctx.rows, gradient.shape[1])
        for rows, slots in ctx.gather.back:
            part = gradient.index_select(0, slots.flatten())
            total[rows] = part if slots.shape[1] == 1 else part.view(*slots.shape, -1).sum(1)
        return total, None


@dataclass(frozen=True)
class Layout:
    """How T tokens become the slots of the blocks (queries, keys), block after block, and how the results
    come back (outputs).
    """

    blocks: tuple[AttentionBlock, ...]
    queries: Gather
    keys: Gather
    outputs: Gather

    def to(self, device: torch.device) -> Layout:
        """Returns the same layout with its indices on `device`."""
        blocks = (
            AttentionBlock(b.spans, b.queries, b.keys, None if b.offsets is None else b.offsets.to(device))
            for b in self.blocks
        )
        return Layout(tuple(blocks), self.queries.to(device), self.keys.to(device), self.outputs.to(device))


def attend(query: Tensor, key: Tensor, value: Tensor, layout: Layout, scaling: float | None) -> Tensor:
    """query (T, H, D), key and value (T, G, D), H a multiple of G -> (T, H, D): each token's attention over
    its own path.
    """
    heads, groups, width = query.shape[1], key.shape[1], query.shape[2]
    into = ((query, layout.queries), (key, layout.keys), (value, layout.keys))
    slots = [gather(part.reshape(len(part), -1)) for part, gather in into]
    # split, not slices: each slice's gradient would be a tensor as large as all slots.
    tall, wide = (
        [block.spans * getattr(block, name) for block in layout.blocks] for name in ("queries", "keys")
    )
    pieces = zip(layout.blocks, slots[0].split(tall), slots[1].split(wide), slots[2].split(wide), strict=True)
    outputs = [_attend_block(block, heads, groups, scaling, *parts) for block, *parts in pieces]
    return layout.outputs(torch.cat(outputs)).view(-1, heads, width)


def _attend_block(
    block: AttentionBlock,
    heads: int,
    groups: int,
    scaling: float | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
) -> Tensor:
    """query (spans * queries, H * D), key and value (spans * keys, G * D) -> (spans * queries, H * D)."""
    if block.queries * block.keys <= SMALL_PAIRS and query.dtype == torch.float32 and not query.is_cuda:
        return _attend_small(block, heads, groups, scaling, query, key, value)
    query = query.view(block.spans, block.queries, heads, -1).transpose(1, 2)
    key, value = (part.view(block.spans, block.keys, groups, -1).transpose(1, 2) for part in (key, value))
    bias = block.bias(query.dtype)
    if bias is not None and query.is_cuda:  # no fast CUDA kernel takes both a mask and fewer key heads
        key, value = (part.repeat_interleave(heads // groups, 1) for part in (key, value))
    grouped = key.shape[1] != heads
    output = scaled_dot_product_attention(
        query, key, value, bias, is_causal=bias is None, scale=scaling, enable_gqa=grouped
    )
    return output.transpose(1, 2).reshape(block.spans * block.queries, -1)


def _attend_small(
    block: AttentionBlock,
    heads: int,
    groups: int,
    scaling: float | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
) -> Tensor:
    """Returns the same attention by plain matrix products, in which all heads that share a key head are rows
    of one product.
    """
    spans, queries, keys, repeats = block.spans, block.queries, block.keys, heads // groups
    width = query.shape[1] // heads
    query = (
        query.view(spans, queries, groups, -1)
        .transpose(1, 2)
        .reshape(spans * groups, queries * repeats, width)
    )
    key, value = (
        part.view(spans, keys, groups, width).transpose(1, 2).reshape(spans * groups, keys, width)
        for part in (key, value)
    )
    scale = width**-0.5 if scaling is None else scaling
    weights = torch.baddbmm(block.causal(groups, repeats), query, key.transpose(1, 2), alpha=scale).softmax(
        -1
    )
    output = torch.bmm(weights, value).view(spans, groups, queries, repeats * width)
    return output.transpose(1, 2).reshape(spans * queries, -1)


def _function(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: query (1, H, T, D), key and value (1, G, T, D) -> (1, T, H, D)."""
    layout = more.pop("layout", None)
    if layout is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **more)
    # Under autocast the rotary embedding leaves queries and keys in float32, which the products would run in.
    query, key = query.to(value.dtype), key.to(value.dtype)
    query, key, value = (part.squeeze(0).transpose(0, 1) for part in (query, key, value))
    return attend(query, key, value, layout, scaling)[None], None


def install(backbone: Any) -> None:
    """Let `backbone`, a transformers model, attend through this module. Forwards without a layout stay what
    `sdpa` makes of them.
    """
    if backbone.config._attn_implementation == NAME:
        return
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, _function)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    backbone.set_attn_implementation(NAME)
