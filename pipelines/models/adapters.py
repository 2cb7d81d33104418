"""Low-rank adapters (LoRA, arXiv 2106.09685) through peft, put into the model in place: it stays what it was,
a causal model of its class.

Only the adapters are trained. Switched off, the model is the reference, so there is no second copy; merged,
it is a plain model again, which is what is sampled from and saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from pipelines.models.adapter_params import AdapterParams

NAME = "default"


def add(model: Any, settings: AdapterParams, seed: int) -> Any:
    """Freeze `model` and put adapters on the layers that `settings.targets` names; the model's function does
    not change by it.

    Their weights depend on `seed` alone. Returns the same object. ValueError when no layer has such a name,
    or one's weight is tied.
    """
    from peft import LoraConfig, inject_adapter_in_model

    _refuse_tied(model, settings.targets)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # peft scales by any number
        lora_dropout=0.0,
        target_modules=list(settings.targets),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return inject_adapter_in_model(config, model, adapter_name=NAME)


def _refuse_tied(model: Any, targets: Sequence[str]) -> None:
    """The adapter would stand beside one of two places that use the weight; merged into the weight it would
    change both, so that another model would be sampled and saved than the one that learns.
    """
    owners: dict[int, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if (weight := getattr(module, "weight", None)) is not None:
            owners.setdefault(id(weight), []).append(name)
    for name, others in ((name, names) for names in owners.values() if len(names) > 1 for name in names):
        if any(f".{name}".endswith(f".{target}") for target in targets):
            raise ValueError(
                f"adapter.targets names {name}, whose weight is also that of "
                f"{', '.join(other for other in others if other != name)}: "
                "an adapter would change one and not the other. Untie them "
                "(base.common.architecture.tie_embeddings: false, where the model is "
                f"built here), or leave {name} out of the targets"
            )


def present(model: Any) -> bool:
    """Returns whether the model has adapters."""
    return any(True for _ in _layers(model))


def plain(layer: Any) -> Any:
    """Returns the layer below adapters that are merged or switched off; a layer without adapters, or with
    active ones, is returned itself.
    """
    return layer.base_layer if _adapted(layer) and layer.disable_adapters else layer


@contextmanager
def switched_off(model: Any) -> Iterator[Any]:
    """Inside, the model computes what it did before the adapters came: the reference's log-probs. Nothing in
    it has a gradient.
    """
    layers = [layer for _, layer in _layers(model)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield model
    finally:
        for layer in layers:
            layer.enable_adapters(True)


@contextmanager
def merged(model: Any) -> Iterator[Any]:
    """Inside, the adapters are added into the weights, so that whoever reads or runs them sees a plain model;
    afterwards the weights are back, bit for bit. Holds a copy of the adapted weights meanwhile. Does nothing
    to a model without adapters.
    """
    layers = [layer for _, layer in _layers(model)]
    originals = []
    with torch.no_grad():
        for layer in layers:
            originals.append(layer.base_layer.weight.detach().clone())
            layer.base_layer.weight.add_(layer.get_delta_weight(NAME))
    try:
        with switched_off(model):
            yield model
    finally:
        with torch.no_grad():
            for layer, original in zip(layers, originals, strict=True):
                layer.base_layer.weight.copy_(original)


def plain_state(model: Any) -> dict[str, Tensor]:
    """Returns the state dict of the plain model that computes what `model` computes now, under the names of a
    model without adapters.
    """
    state = {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in model.state_dict().items()
        if ".lora_" not in name
    }
    with torch.no_grad():
        for name, layer in _layers(model):
            if not layer.disable_adapters:
                state[f"{name}.weight"] = layer.base_layer.weight + layer.get_delta_weight(NAME)
    return state


def _layers(model: Any) -> Iterator[tuple[str, Any]]:
    """Yields (name, layer) of every layer with an adapter."""
    for name, module in model.named_modules():
        if _adapted(module):
            yield name, module


def _adapted(module: Any) -> bool:
    return hasattr(module, "lora_A") and hasattr(module, "base_layer")
