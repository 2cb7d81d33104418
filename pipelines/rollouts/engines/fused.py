"""A lean forward for Llama, Qwen2 and Qwen3: the same function as the model's own code in a third of the
operations.

Query, key and value weights are one matrix, gate and up another; the gain of a norm is folded into the matrix
after it; a rotation is one complex product in place (weights are permuted so that the two parts of a pair are
neighbours); grouped heads read their keys once.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.models.adapters import plain
from pipelines.rollouts.engines.cache import CacheRows, Layer
from pipelines.rollouts.engines.cpu import kernels_for
from pipelines.rollouts.engines.kernels import (
    LayerShape,
    LayerWeights,
    PrefixTensors,
    after_attention,
    compiled,
    decode,
    final_logits,
    project_qkv,
)

FAMILIES = frozenset({"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"})
TYPICAL_ROWS = 128  # of a product, for which weights are packed; others work, a little slower
PACKED_FROM = 256  # hidden size: below it a packed product costs more to call than it saves
DYNAMIC_ROTARY = frozenset({"dynamic", "longrope"})  # their angles depend on the length of the sequence


def fusible(model: Any) -> bool:
    """Returns whether FusedForward computes what `model` computes now: its family is supported, and no part
    is replaced or switched on.

    Layers with adapters count while these are merged into the weights, or off (`models.adapters`): then the
    weights are all there is.
    """
    config = model.config
    if type(model).__name__ not in FAMILIES or not type(model).__module__.startswith("transformers."):
        return False
    rotary = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if rotary in DYNAMIC_ROTARY or kinds != {"full_attention"} or config.hidden_act != "silu":
        return False
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        inner = [plain(linear) for linear in (attention.q_proj, attention.k_proj, attention.v_proj)]
        outer = [plain(linear) for linear in (attention.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj)]
        if any(type(linear) is not nn.Linear for linear in inner + outer) or any(
            linear.bias is not None for linear in outer
        ):
            return False
    head, table = plain(model.lm_head), plain(model.model.embed_tokens)
    return type(head) is nn.Linear and head.bias is None and isinstance(table, nn.Embedding)


def copied_weight_bytes(model: Any, dtype: torch.dtype, device: torch.device) -> int:
    """Returns the bytes of the weights that FusedForward holds besides the model's own, once the model is on
    `device`; vectors are not counted.
    """
    head = plain(model.lm_head).weight
    return head.numel() * dtype.itemsize + sum(
        _layer_bytes(layer, head.dtype, dtype, device) for layer in model.model.layers
    )


def refresh_bytes(model: Any, dtype: torch.dtype, device: torch.device) -> int:
    """Returns the bytes that updating these weights needs for a moment: a packed layer is built beside the
    old one.
    """
    layer = model.model.layers[0]
    packs = _packs(dtype, device, plain(layer.self_attn.q_proj).in_features)
    return _layer_bytes(layer, plain(model.lm_head).weight.dtype, dtype, device) if packs else 0


def _layer_bytes(layer: Any, own: torch.dtype, dtype: torch.dtype, device: torch.device) -> int:
    attention, mlp = layer.self_attn, layer.mlp
    linears = [attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj]
    if dtype != own or _packs(dtype, device, plain(attention.q_proj).in_features):
        linears += [attention.o_proj, mlp.down_proj]
    return sum(plain(linear).weight.numel() for linear in linears) * dtype.itemsize


def _packs(dtype: torch.dtype, device: torch.device, hidden: int) -> bool:
    """Returns whether the products of a layer whose states are `hidden` wide are faster with oneDNN's packed
    weights.
    """
    known = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return known and device.type == "cpu" and dtype == torch.float32 and hidden >= PACKED_FROM


class _Weights:
    """One layer's matrices, in the type that products run in. Those that need no folding are the model's own
    where the type allows.

    They live through updates too, so nothing is held twice: where matrices are packed, their plain form lasts
    as long as the packing.
    """

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        self._layer = layer
        attention = layer.self_attn
        self.width = int(attention.head_dim)
        self.normed = hasattr(attention, "q_norm")
        projections = [plain(linear) for linear in (attention.q_proj, attention.k_proj, attention.v_proj)]
        hidden, device = projections[0].in_features, projections[0].weight.device
        self.sizes = [projection.out_features for projection in projections]
        self.packs = _packs(dtype, device, hidden)
        self.dtype = dtype
        self.bias = (
            None if projections[0].bias is None else torch.empty(sum(self.sizes), dtype=dtype, device=device)
        )
        self.gains = (
            torch.empty(sum(self.sizes[:2]) // self.width, self.width, device=device) if self.normed else None
        )
        if not self.packs:  # else every refresh makes new ones anyway
            self.qkv = torch.empty(sum(self.sizes), hidden, dtype=dtype, device=device)
            self.gate_up = torch.empty(
                2 * plain(layer.mlp.gate_proj).out_features, hidden, dtype=dtype, device=device
            )
        self.refresh()

    def refresh(self) -> None:
        attention, mlp = self._layer.self_attn, self._layer.mlp
        to_query, to_key, to_value = (
            plain(linear) for linear in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        to_gate, to_up = plain(mlp.gate_proj).weight, plain(mlp.up_proj).weight
        scale = 1.0 if self.normed else attention.scaling  # a normed query takes its scale after the norm
        if self.bias is not None:
            query, key, value = self.bias.split(self.sizes)
            query.copy_(_interleaved(to_query.bias, self.width) * scale)
            key.copy_(_interleaved(to_key.bias, self.width))
            value.copy_(to_value.bias)
        if self.gains is not None:
            heads = self.sizes[0] // self.width
            self.gains[:heads] = _interleaved(attention.q_norm.weight, self.width) * attention.scaling
            self.gains[heads:] = _interleaved(attention.k_norm.weight, self.width)
        qkv = torch.empty(sum(self.sizes), to_query.in_features, dtype=self.dtype) if self.packs else self.qkv
        gain, (query, key, value) = self._layer.input_layernorm.weight, qkv.split(self.sizes)
        query.copy_(_interleaved(to_query.weight, self.width) * (gain * scale))
        key.copy_(_interleaved(to_key.weight, self.width) * gain)
        value.copy_(to_value.weight * gain)
        gain = self._layer.post_attention_layernorm.weight
        out, down = (plain(linear).weight.to(self.dtype) for linear in (attention.o_proj, mlp.down_proj))
        if self.packs:
            gate, up = (_pack((weight * gain).to(self.dtype)) for weight in (to_gate, to_up))
            self.matrices = LayerWeights(_pack(qkv), self.bias, self.gains, gate, up, _pack(out), _pack(down))
        else:
            gate, up = self.gate_up.chunk(2)
            gate.copy_(to_gate * gain)
            up.copy_(to_up * gain)
            self.matrices = LayerWeights(qkv, self.bias, self.gains, self.gate_up, None, out.t(), down.t())


class FusedForward:
    """Prefill and single steps of `model`. `refresh` takes its present weights; it costs about as much as
    reading them.
    """

    shares = True

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        attention = model.model.layers[0].self_attn
        self._model, self._dtype, width = model, dtype, int(attention.head_dim)
        self._plan = LayerShape(
            heads=plain(attention.q_proj).out_features // width,
            kv_heads=plain(attention.k_proj).out_features // width,
            width=width,
            epsilon=float(model.config.rms_norm_eps),
            head_epsilon=float(getattr(getattr(attention, "q_norm", None), "variance_epsilon", 0.0)),
        )
        self._rotations = torch.empty(0)
        device = plain(attention.q_proj).weight.device
        self._decode = compiled(decode, device)
        self._cpu = kernels_for(device, dtype, width)
        self.by_width = self._cpu is not None
        with torch.inference_mode():
            self._layers = [_Weights(layer, dtype) for layer in model.model.layers]
            self._read_ends()

    @torch.inference_mode()
    def refresh(self) -> None:
        for layer in self._layers:
            layer.refresh()
        self._read_ends()

    def prefill(self, ids: Tensor, rows: Tensor, columns: Tensor) -> tuple[list[Layer], Tensor]:
        """ids (F, W), padded on the right -> the layers, and the logits (N, V) after the tokens at (rows,
        columns).
        """
        families, length = ids.shape
        if self._cpu is not None:
            hidden = F.embedding(ids, self._embedding)
            layers: list[Layer]
            layers, logits = self._cpu.prefill(
                hidden, self._matrices, (rows, columns), self._rotation(length), self._head, self._plan
            )
            return layers, logits
        rotation = self._rotation(length)[:length, None]
        hidden, stored = F.embedding(ids, self._embedding), []
        plan, grouped = self._plan, self._plan.heads > self._plan.kv_heads
        for weights in self._layers:
            parts = project_qkv(hidden.flatten(0, 1), weights.matrices, rotation.repeat(families, 1, 1), plan)
            query, key, value = (
                part.view(families, length, -1, plan.width).transpose(1, 2) for part in parts
            )
            stored.append(Layer(key, value))
            mixed = F.scaled_dot_product_attention(
                query, key, value, is_causal=True, scale=1.0, enable_gqa=grouped
            )
            mixed = mixed.transpose(1, 2).reshape(families * length, -1)
            hidden = after_attention(hidden.flatten(0, 1), mixed, weights.matrices, plan).view_as(hidden)
        return stored, final_logits(hidden[rows, columns], self._head, plan)

    def step(self, ids: Tensor, rows: CacheRows) -> Tensor:
        """Feed ids (B,), one token to each row; logits (B, V) of the next."""
        hidden, matrices = F.embedding(ids, self._embedding), self._matrices
        logits: Tensor
        if self._cpu is not None:
            rotation = self._rotation(rows.span + 1)
            logits = self._cpu.decode(hidden, matrices, rows, rotation, self._head, self._plan)
            rows.column += 1
            return logits
        table, families, bias, shared = self._rotation(rows.span + 1), rows.families, rows.bias, None
        rotation = table[rows.span] if rows.even else table[rows.offsets + rows.column][:, None]
        if bias is not None:
            bias = bias[:, :, rows.first : rows.column + 1]
        if families is not None:
            prefixes = [layer.keys for layer in families.layers], [layer.values for layer in families.layers]
            shared = PrefixTensors(*prefixes, families.bias, families.slots, families.members)
        keys, values = [layer.keys for layer in rows.layers], [layer.values for layer in rows.layers]
        logits = self._decode(
            hidden,
            matrices,
            keys,
            values,
            rows.first,
            rows.column,
            shared,
            rotation,
            bias,
            self._head,
            self._plan,
        )
        rows.column += 1
        return logits

    @property
    def _matrices(self) -> list[LayerWeights]:
        return [weights.matrices for weights in self._layers]

    def _rotation(self, length: int) -> Tensor:
        """Returns the table of rotations, (at least `length`, width / 2) complex, from the model's own
        angles.
        """
        if len(self._rotations) < length:
            positions = torch.arange(2 * length, device=self._embedding.device)[None]
            cosine, sine = self._model.model.rotary_emb(self._embedding.float(), positions)
            half = self._plan.width // 2
            self._rotations = torch.complex(cosine[0, :, :half].float(), sine[0, :, :half].float())
        return self._rotations

    def _read_ends(self) -> None:
        self._embedding = plain(self._model.model.embed_tokens).weight.detach().float()
        self._head = (plain(self._model.lm_head).weight * self._model.model.norm.weight).to(self._dtype)


def _interleaved(weight: Tensor, width: int) -> Tensor:
    """Rows in heads of `width` whose pairs are (i, i + width / 2), reordered so that they are (2i, 2i +
    1).
    """
    return weight.unflatten(0, (-1, 2, width // 2)).transpose(1, 2).reshape(weight.shape)


def _pack(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight, TYPICAL_ROWS)
