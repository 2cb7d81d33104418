"""Build, load and save a causal language model together with its tokenisation contract.

A model folder holds the weights (safetensors only), the configuration, the tokenizer and tokens.json: a model
never travels without the ids it was trained on, and loading one beside a different tokenizer is an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipelines.models import adapters
from pipelines.models.base_params import ArchitectureParams, BaseParams
from pipelines.models.loading import load_model, load_tokenizer
from pipelines.models.tokenizer import Tokens, read_tokenizer
from pipelines.sources.opening import OpenedSource, Opener


def build(architecture: ArchitectureParams, tokens: Tokens, seed: int) -> Any:
    """Returns a model with random float32 weights that depend on `seed` alone, with the tokenizer's
    vocabulary.
    """
    shape: dict[str, Any] = {
        "vocab_size": tokens.vocab_size,
        "hidden_size": architecture.hidden_size,
        "intermediate_size": architecture.intermediate_size,
        "num_hidden_layers": architecture.layers,
        "num_attention_heads": architecture.heads,
        "num_key_value_heads": architecture.kv_heads,
        "max_position_embeddings": architecture.context,
        "rope_parameters": {"rope_type": "default", "rope_theta": architecture.rope_theta},
        "tie_word_embeddings": architecture.tie_embeddings,
        "initializer_range": architecture.initializer_range,
        "attention_dropout": 0.0,
        "pad_token_id": tokens.pad_id,
        "eos_token_id": _ends(tokens),
        "bos_token_id": tokens.bos_id,
    }
    torch.manual_seed(seed)
    return _causal_model(architecture.family, shape).to(torch.float32)


def fetch(base: BaseParams, tokens: Tokens, seed: int, open_source: Opener, trust_remote_code: bool) -> Any:
    """Returns a pretrained model in float32, after checking it against its tokenizer.

    Raises SourceError (nothing there, not reachable offline, changed), ValueError (not loadable strictly,
    vocabulary does not fit).
    """
    from transformers import AutoModelForCausalLM

    assert base.pretrained is not None
    with open_source(base.pretrained, "model", base.revision) as source:
        shown = source.shown
        model = load_model(AutoModelForCausalLM, source, trust_remote_code=trust_remote_code)
        _check_vocabulary(source, tokens)
    rows = model.get_input_embeddings().weight.shape[0]
    if rows < tokens.vocab_size:
        if not base.resize_embeddings:
            raise ValueError(
                f"{shown} has {rows} embedding rows, the tokenizer needs {tokens.vocab_size}: "
                "use the model's own tokenizer (tokenizer: null), or set resize_embeddings to true"
            )
        torch.manual_seed(seed)
        model.resize_token_embeddings(tokens.vocab_size, mean_resizing=False)
    _take_ids(model, tokens)
    return model


def save(model: Any, tokens: Tokens, folder: str | Path) -> None:
    """Write weights (safetensors; adapters merged), configuration, tokenizer and tokens.json into
    `folder`.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Not save_pretrained: it imports deepspeed where that is installed, 3 s at the end of every stage.
    model.config.architectures = [type(model).__name__]
    _take_ids(model, tokens)
    model.config.save_pretrained(folder)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(folder)
    save_file(
        _distinct(adapters.plain_state(model)), str(folder / "model.safetensors"), metadata={"format": "pt"}
    )
    tokens.save(folder)


def load(
    folder: str | Path, tokens: Tokens | None = None, trust_remote_code: bool = False
) -> tuple[Any, Tokens]:
    """Returns the model and the tokens of a folder that `save` wrote. With `tokens`, a different tokenizer is
    an error that names both folders.
    """
    from transformers import AutoModelForCausalLM

    folder = Path(folder)
    own = Tokens.load(folder)
    if tokens is not None:
        own.check_same(tokens, str(folder))
    model = load_model(
        AutoModelForCausalLM, OpenedSource(folder, str(folder)), trust_remote_code=trust_remote_code
    )
    rows = model.get_input_embeddings().weight.shape[0]
    if rows < own.vocab_size:
        raise ValueError(
            f"{folder}: {rows} embedding rows, but its tokens.json counts {own.vocab_size} ids; the folder "
            f"is not one model"
        )
    return without_dropout(model), own


def _ends(tokens: Tokens) -> int | list[int]:
    """Returns the ids that end a response, as a configuration writes them: EOS, or a list that begins with
    it.
    """
    return tokens.eos_id if len(tokens.stop_ids) == 1 else list(tokens.stop_ids)


def _take_ids(model: Any, tokens: Tokens) -> None:
    """The contract's ids into the configuration and into what `generate` goes by: all say the same, whatever
    the source said.
    """
    for config in (model.config, model.generation_config):
        if config is not None:
            config.pad_token_id, config.eos_token_id, config.bos_token_id = (
                tokens.pad_id,
                _ends(tokens),
                tokens.bos_id,
            )


def context_size(model: Any) -> int:
    """Positions the model can hold, such that no row's numbers depend on its neighbours."""
    config = model.config.get_text_config(decoder=True)
    size = int(getattr(config, "max_position_embeddings", None) or 2**31 - 1)
    rotary = getattr(config, "rope_parameters", None) or {}
    for parameters in (rotary, *rotary.values()):  # for all layers, or one for each kind of layer
        if isinstance(parameters, dict) and parameters.get("rope_type") == "longrope":
            # It has two sets of frequencies, and a batch's longest row chooses for all rows: from here on it
            # would be the other set.
            size = min(size, int(parameters.get("original_max_position_embeddings") or size))
    return size


def without_dropout(model: Any) -> Any:
    """Dropout off for good: it would make the trainer's log-probs differ from the sampler's."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
    return model


def _causal_model(family: str, shape: dict[str, Any]) -> Any:
    if family == "qwen2":
        from transformers import Qwen2Config, Qwen2ForCausalLM

        return Qwen2ForCausalLM(Qwen2Config(**shape))
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**shape))


def _distinct(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Without the second names of tied tensors, which safetensors refuses; loading ties them again."""
    seen: dict[tuple[Any, ...], str] = {}
    for name, tensor in state.items():
        seen.setdefault((tensor.data_ptr(), tensor.storage_offset(), tensor.shape), name)
    return {name: state[name].detach().cpu().contiguous() for name in seen.values()}


def _check_vocabulary(source: OpenedSource, tokens: Tokens) -> None:
    """The ids must mean the same text to the pretrained model; a source without a tokenizer cannot be
    compared.
    """
    file, shown = source.folder / "tokenizer.json", source.shown
    if source.gguf is not None:
        theirs = load_tokenizer(source).get_vocab()
    elif file.exists():
        theirs = read_tokenizer(file).get_vocab(with_added_tokens=True)
    else:
        return
    ours = tokens.tokenizer.get_vocab(with_added_tokens=True)
    differing = [text for text, number in theirs.items() if ours.get(text) != number]
    if differing:
        raise ValueError(
            f"the tokenizer and that of {shown} differ in {len(differing)} of {len(theirs)} "
            f"ids (first: {differing[0]!r}): "
            "leave tokenizer out, so that the model keeps its own"
        )
