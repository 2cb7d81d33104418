"""The arithmetic of a decoding step as plain functions, which `compiled` makes run without the interpreter's
lock.

A step is some sixty small operations. Called one by one by two threads they wait for the lock longer than
they compute; as TorchScript a worker takes it a few times per token. The same functions serve where that does
not matter: prefill, GPUs. In float32 on a CPU `cpu` takes the place of `decode` and `sample_tokens`; bfloat16
and heads that are no whole number of its vectors stay here. TorchScript wants annotations that are types and
not strings, so nothing is imported from `__future__` here.
"""

import functools
import warnings
from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_COMPILING = Lock()
# not torch.nn.functional's, which DeepSpeed's stage 3 replaces by one that cannot be compiled
linear = torch.ops.aten.linear


def compiled(function: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """One of the functions below as it runs best on `device`: compiled for a CPU, itself for a GPU, which has
    but one thread to feed it.
    """
    if device.type != "cpu":
        return function
    with _COMPILING:
        return _compiled(function)


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    with warnings.catch_warnings():
        # deprecated; torch.compile, which is to replace it, needs a C++ compiler on the user's machine
        warnings.simplefilter("ignore")
        return torch.jit.script(function)  # type: ignore[no-any-return]


class LayerWeights(NamedTuple):
    """One layer's weights: qkv (all heads x width, H), bias of it, gains of normed heads (query and key
    heads, width), and the rest.

    Plain: gate is gate and up in one (2 I, H), up None; out (heads x width, H) and down (I, H) are for
    products from the right. Packed, in oneDNN's own layout, qkv as well: gate and up (I, H), out (H, heads x
    width), down (H, I).
    """

    qkv: Tensor
    bias: Tensor | None
    gains: Tensor | None
    gate: Tensor
    up: Tensor | None
    out: Tensor
    down: Tensor


class LayerShape(NamedTuple):
    """Heads of queries and of keys, their width; what the norms of hidden states and of heads add to the mean
    square.
    """

    heads: int
    kv_heads: int
    width: int
    epsilon: float
    head_epsilon: float


class PrefixTensors(NamedTuple):
    """The prefixes of F families for `decode`: keys and values (kv heads, F, P, width) by layer, and the rest
    of cache.SharedPrefixes.
    """

    keys: list[Tensor]
    values: list[Tensor]
    bias: Tensor | None
    slots: Tensor | None
    members: Tensor | None


def decode(
    hidden: Tensor,
    matrices: list[LayerWeights],
    keys: list[Tensor],
    values: list[Tensor],
    first: int,
    column: int,
    shared: PrefixTensors | None,
    rotation: Tensor,
    bias: Tensor | None,
    head: Tensor,
    plan: LayerShape,
) -> Tensor:
    """hidden (B, H) of one token per row, whose keys and values go to `column`, and which sees from column
    `first` on, and its family's prefix before; rotation as in `project_qkv`; bias (B, 1, columns seen) ->
    logits (B, V).
    """
    for index, weights in enumerate(matrices):
        query, key, value = project_qkv(hidden, weights, rotation, plan)
        keys[index][:, :, column] = key.transpose(0, 1)
        values[index][:, :, column] = value.transpose(0, 1)
        own_keys, own_values = keys[index][:, :, first : column + 1], values[index][:, :, first : column + 1]
        if shared is None:
            mixed = attend(query, own_keys, own_values, bias)
        else:
            mixed = attend_shared(
                query, own_keys, own_values, bias, shared.keys[index], shared.values[index], shared
            )
        hidden = after_attention(hidden, mixed, weights, plan)
    return final_logits(hidden, head, plan)


def project_qkv(
    hidden: Tensor, weights: LayerWeights, rotation: Tensor, plan: LayerShape
) -> tuple[Tensor, Tensor, Tensor]:
    """hidden (N, H), rotation (N or 1, 1, width / 2) -> query, key, value (N, heads, width)."""
    normed = norm(hidden, weights.qkv, plan)
    joint = (
        linear(normed, weights.qkv, weights.bias)
        if weights.up is None
        else packed_linear(normed, weights.qkv, weights.bias, "none")
    )
    turned = plan.heads + plan.kv_heads
    heads = joint.view(joint.shape[0], -1, plan.width)
    pairs = heads[:, :turned]
    gains = weights.gains
    if gains is not None:
        pairs = F.rms_norm(pairs.float(), [plan.width], None, plan.head_epsilon) * gains
    pairs = pairs.float().unflatten(-1, [-1, 2])
    torch.view_as_complex(pairs).mul_(rotation)
    if gains is not None or joint.dtype != torch.float32:  # else they were turned in place
        heads[:, :turned] = pairs.flatten(-2)
    return heads[:, : plan.heads], heads[:, plan.heads : turned], heads[:, turned:]


def attend(query: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
    """query (B, heads, width), keys and values (kv heads, B, T, width), bias (B, 1, T) -> (B, heads x
    width).
    """
    scores = own_scores(by_head(query, keys), keys, bias)
    weights = torch.softmax(scores, -1, dtype=torch.float32).to(values.dtype)
    return by_row(torch.bmm(weights, values.flatten(0, 1)), keys)


def attend_shared(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    bias: Tensor | None,
    prefix_keys: Tensor,
    prefix_values: Tensor,
    shared: PrefixTensors,
) -> Tensor:
    """`attend` with the prefixes (kv heads, F, P, width) before each row's own tokens: one product for all
    rows of a family.
    """
    kv_heads, families, columns, width = prefix_keys.shape
    joint, rows = kv_heads * families, keys.shape[1]
    grouped = by_head(query, keys)
    group = grouped.shape[1]
    own = own_scores(grouped, keys, bias)
    slots, members, prefix_bias = shared.slots, shared.members, shared.bias
    if members is not None:
        grouped = grouped.view(kv_heads, rows, group, width).index_select(1, members)
    scores = torch.bmm(grouped.reshape(joint, -1, width), prefix_keys.flatten(0, 1).transpose(1, 2))
    if prefix_bias is not None:
        scores.view(kv_heads, families, -1, columns).add_(prefix_bias)
    if slots is not None:
        scores = scores.view(kv_heads, -1, group, columns).index_select(1, slots)
    scores = torch.cat([scores.view(-1, group, columns), own], -1)
    weights = torch.softmax(scores, -1, dtype=torch.float32).to(values.dtype)
    if members is None:
        common = weights.view(joint, -1, weights.shape[-1])[:, :, :columns]
    else:
        common = (
            weights.view(kv_heads, rows, group, -1)[:, :, :, :columns]
            .index_select(1, members)
            .view(joint, -1, columns)
        )
    mixed = torch.bmm(common, prefix_values.flatten(0, 1))
    if slots is not None:
        mixed = mixed.view(kv_heads, -1, group, width).index_select(1, slots)
    return by_row(
        torch.baddbmm(mixed.view(-1, group, width), weights[:, :, columns:], values.flatten(0, 1)), keys
    )


def by_head(query: Tensor, keys: Tensor) -> Tensor:
    """query (B, heads, width) -> (kv heads x B, heads to each, width), the order of `keys`."""
    kv_heads, rows, _, width = keys.shape
    return query.unflatten(1, [kv_heads, -1]).transpose(0, 1).reshape(kv_heads * rows, -1, width)


def by_row(mixed: Tensor, keys: Tensor) -> Tensor:
    """Returns the inverse of `by_head`: mixed (kv heads x B, heads to each, width) -> (B, heads x width)."""
    kv_heads, rows = keys.shape[:2]
    return mixed.view(kv_heads, rows, -1).transpose(0, 1).reshape(rows, -1)


def own_scores(grouped: Tensor, keys: Tensor, bias: Tensor | None) -> Tensor:
    """grouped (kv heads x B, G, width), keys (kv heads, B, T, width), bias (B, 1, T) -> (kv heads x B, G,
    T).
    """
    scores = torch.bmm(grouped, keys.flatten(0, 1).transpose(1, 2))
    if bias is not None:
        kv_heads, rows = keys.shape[:2]
        scores.view(kv_heads, rows, -1, scores.shape[-1]).add_(bias)
    return scores


def after_attention(hidden: Tensor, mixed: Tensor, weights: LayerWeights, plan: LayerShape) -> Tensor:
    """Returns the states after a layer's output projection and feed-forward block, with their residuals."""
    up = weights.up
    if up is not None:
        hidden = packed_linear_with(mixed, weights.out, hidden, "add")
        normed = norm(hidden, weights.gate, plan)
        inner = packed_linear_with(normed, up, packed_linear(normed, weights.gate, None, "swish"), "mul")
        return packed_linear_with(inner, weights.down, hidden, "add")
    hidden = add(hidden, mixed, weights.out)
    gate, raised = linear(norm(hidden, weights.gate, plan), weights.gate).chunk(2, -1)
    return add(hidden, F.silu(gate).mul_(raised), weights.down)


def packed_linear(inner: Tensor, weight: Tensor, bias: Tensor | None, activation: str) -> Tensor:
    """inner (N, I), weight (O, I) packed, bias (O,) -> activation of the product, (N, O)."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(inner, weight, bias, activation, [], "")
    return product


def packed_linear_with(inner: Tensor, weight: Tensor, other: Tensor, operation: str) -> Tensor:
    """inner (N, I), weight (O, I) packed, other (N, O) -> the product with `other` added or multiplied, (N,
    O).
    """
    product: Tensor = torch.ops.mkldnn._linear_pointwise(inner, other, weight, None, operation)
    return product


def add(hidden: Tensor, inner: Tensor, weight: Tensor) -> Tensor:
    """hidden + inner @ weight. The residual stays float32, as in the model's own forward under autocast."""
    return torch.addmm(hidden, inner, weight) if weight.dtype == torch.float32 else hidden + inner @ weight


def norm(hidden: Tensor, weight: Tensor, plan: LayerShape) -> Tensor:
    """RMS norm without its gain, which is folded into the matrix `weight` that follows."""
    return F.rms_norm(hidden, hidden.shape[-1:], None, plan.epsilon).to(weight.dtype)


def final_logits(hidden: Tensor, head: Tensor, plan: LayerShape) -> Tensor:
    """hidden (N, H), head (V, H) -> logits (N, V)."""
    return linear(norm(hidden, head, plan), head)


def sample_tokens(logits: Tensor, uniform: Tensor | None, masked: bool) -> tuple[Tensor, Tensor, Tensor]:
    """logits (N, V), float32, -inf among them where `masked`; uniform (N,), None for the most likely -> ids,
    log-probs, entropies (N,).
    """
    logprobs = torch.log_softmax(logits, -1)
    probabilities = logprobs.exp()
    entropy = torch.special.entr(probabilities).sum(-1) if masked else -(probabilities * logprobs).sum(-1)
    if uniform is None:
        chosen = logits.argmax(-1, keepdim=True)
    else:
        cumulative = probabilities.cumsum(-1)
        total = cumulative[:, -1:].contiguous()
        # Strictly below the total, so that the first entry above it exists and has probability above 0.
        target = torch.minimum(uniform[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
        # NaN logits find no entry: any token will do, as its log-prob says what is wrong; one out of range
        # would end a GPU's process.
        chosen = torch.searchsorted(cumulative, target, right=True).clamp_(max=logits.shape[-1] - 1)
    return chosen.squeeze(1), logprobs.gather(1, chosen).squeeze(1), entropy


def ended(chosen: Tensor, stops: Tensor, full: Tensor, before: Tensor) -> tuple[Tensor, Tensor, bool]:
    """chosen (N,) ids, stops (S,) ids, full and before (N,) bool: at its limit, and ended earlier -> (drew a
    stop, ended now, any did).
    """
    stopped = (chosen[:, None] == stops).any(1)
    ending = (stopped | full) & ~before
    return stopped, ending, bool(ending.any())
