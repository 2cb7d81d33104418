"""A tiny random model of the same family as a given one, with its tokenizer, chat template and context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.models.loading import load_tokenizer
from pipelines.sources.opening import unrecorded
from pipelines.sources.source_params import Source

LAYERS, WIDTH, HEADS = 2, 64, 4
SIZES: dict[str, int] = {  # the names that configs of transformers have for these
    "hidden_size": WIDTH,
    "n_embd": WIDTH,
    "d_model": WIDTH,
    "word_embed_proj_dim": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "moe_intermediate_size": WIDTH,
    "shared_expert_intermediate_size": WIDTH,
    "n_inner": 2 * WIDTH,
    "ffn_dim": 2 * WIDTH,
    "num_hidden_layers": LAYERS,
    "n_layer": LAYERS,
    "num_layers": LAYERS,
    "max_window_layers": LAYERS,
    "num_attention_heads": HEADS,
    "n_head": HEADS,
    "num_key_value_heads": 2,
    "head_dim": WIDTH // HEADS,
    "hidden_size_per_layer_input": 8,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
}


def write_tiny(value: str | Source, revision: str | None, folder: Path) -> str:
    """Write the model that is like `value` into `folder`; returns its class and size. Raises SourceError
    where the source is not at hand, ValueError where its config allows no smaller model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    with unrecorded(value, "tokenizer", revision) as source:
        load_tokenizer(source, use_fast=True).save_pretrained(str(folder))
    with unrecorded(value, "model", revision) as source:
        config = AutoConfig.from_pretrained(str(source.folder), **source.options)
    for part in {id(item): item for item in (config, config.get_text_config(decoder=True))}.values():
        _shrink(part)
    torch.manual_seed(0)
    try:
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    except (ValueError, RuntimeError, AttributeError, TypeError) as error:
        raise ValueError(f"no tiny model of the family {config.model_type} can be made: {error}") from error
    model.save_pretrained(str(folder))
    count = sum(parameter.numel() for parameter in model.parameters())
    return f"{type(model).__name__} of {count:,} random parameters"


def _shrink(config: Any) -> None:
    """Sets the sizes that a config has; the context and the vocabulary stay."""
    heads = getattr(config, "num_attention_heads", HEADS) or HEADS
    groups = getattr(config, "num_key_value_heads", heads) or heads
    for name, size in SIZES.items():
        if isinstance(getattr(config, name, None), int):
            setattr(config, name, size)
    if isinstance(getattr(config, "num_key_value_heads", None), int) and groups == heads:
        config.num_key_value_heads = HEADS
    if isinstance(kinds := getattr(config, "layer_types", None), list):
        config.layer_types = kinds[-LAYERS:]
    config.tie_word_embeddings = getattr(config, "tie_word_embeddings", False)
