"""Tiny models to ask: one whose prompt is written out, one with a chat template."""

from __future__ import annotations

from pathlib import Path

import torch

from pipelines.models import policy
from pipelines.models.tokenizer import Tokens
from pipelines.models.tokenizer_params import PretrainedTokenizer, TemplateParams
from pipelines.models.tokenizer_training import make_tokens
from tests.models.chats import KINDS, take
from tests.tiny import ARCHITECTURE, make_tiny_tokens

SHAPE = ARCHITECTURE.model_copy(update={"context": 192, "family": "llama"})


def plain(folder: Path, seed: int = 0) -> Path:
    """A model folder without a chat template: digits, `+`, `#` and space."""
    return _save(make_tiny_tokens(folder / "tokens"), folder, seed)


def chatty(folder: Path, seed: int = 0) -> Path:
    """A model folder with ChatML, byte-level: it can read any text."""
    return _save(take(folder / "tokens", KINDS["chatml"]), folder, seed)


def _save(tokens: Tokens, folder: Path, seed: int) -> Path:
    model = policy.without_dropout(policy.build(SHAPE, tokens, seed))
    with torch.no_grad():  # clear margins: what a test compares must not hang on rounding
        for parameter in model.parameters():
            parameter.mul_(4.0)
    policy.save(model, tokens, folder / "model")
    return folder / "model"


def sentencepiece_like(folder: Path) -> Path:
    """A model folder with a tokenizer of Llama's first kind (BPE with a token for every byte), which
    llama.cpp's converter takes without knowing it.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    specials = ("<unk>", "<s>", "</s>")
    pieces = [*specials, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"0123456789+#abcdefgh"]
    vocabulary = {piece: id for id, piece in enumerate(pieces)}
    raw = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    raw.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in specials])
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=raw, **names).save_pretrained(folder / "hub")
    template = TemplateParams(prompt="{query}=", bos=True)
    tokenizer = PretrainedTokenizer(kind="pretrained", id=str(folder / "hub"))
    return _save(make_tokens(tokenizer, template, [], folder / "tokens"), folder, 0)
