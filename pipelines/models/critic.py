"""The value model: a copy of the policy's backbone with a scalar head (dpo_vs_ppo.md 5.1 and 6).

The head of a copied policy starts at zero, so that the first values are 0 whatever the backbone is: with
normalised returns, their mean.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pipelines.models.loading import check_finite
from pipelines.models.packing import PackableRow, Packed, can_share, pack
from pipelines.sources.opening import OpenedSource

FILE = "critic.safetensors"


class StateValues(NamedTuple):
    """before (N,): the value of the state before each of the rows' tokens, row by row; after (R,): after each
    row's last token.
    """

    before: Tensor
    after: Tensor


class ValueModel(nn.Module):
    """`backbone`, a transformers model without a language head, and `head`, hidden state -> value."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.config.get_text_config(decoder=True).hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.head.to(backbone.device, torch.float32)

    @property
    def config(self) -> Any:
        """The backbone's."""
        return self.backbone.config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    def activation_checkpointing_enable(self, *arguments: Any, **options: Any) -> None:
        """The backbone's: recompute activations in the backward pass."""
        self.backbone.activation_checkpointing_enable(*arguments, **options)


def make(start: Any) -> ValueModel:
    """Returns a value model whose backbone is a copy of `start`'s. All of it is trained; adapters and frozen
    weights are for the policy only.

    The head of a reward model is copied too (dpo_vs_ppo.md 3.1), of an ensemble that of its first member.
    """
    start = start.members[0] if hasattr(start, "members") else start
    value_model = ValueModel(copy.deepcopy(start.base_model).requires_grad_(True))
    if (head := getattr(start, "score", None)) is not None:
        with torch.no_grad():
            value_model.head.weight.copy_(head.weight)
    return value_model


def values(model: ValueModel, packed: Packed) -> StateValues:
    """StateValues of a micro-batch, with gradient, in the model's units; float32."""
    states = packed.states(model.backbone)
    with torch.autocast(states.device.type, enabled=False):  # a value in bfloat16 has three digits
        return StateValues(
            *(model.head(gather(states).float()).squeeze(-1) for gather in (packed.before, packed.after))
        )


def score_values(model: ValueModel, rows: Sequence[PackableRow]) -> StateValues:
    """`values` of rows, packed as the model allows."""
    return values(model, pack(rows, can_share(model)).to(model.device))


def save(model: ValueModel, folder: Path) -> None:
    """Write critic.safetensors into `folder`."""
    from safetensors.torch import save_model

    save_model(model, str(folder / FILE))


def load(model: ValueModel, folder: Path) -> None:
    """Take back what `save` wrote into a model of the same shape. Raises when the file is missing, damaged,
    of another shape or not finite.
    """
    from safetensors.torch import load_model

    load_model(model, str(folder / FILE), device=str(model.device))
    check_finite(model, OpenedSource(folder, str(folder / FILE)))
