"""Tiny models to ask: one whose prompt is written out, one with a chat template."""

from __future__ import annotations

from pathlib import Path

import torch

from pipelines.models import policy
from tests.models.chats import KINDS, take
from tests.tiny import ARCHITECTURE, make_tiny_tokens

SHAPE = ARCHITECTURE.model_copy(update={"context": 192, "family": "llama"})


def plain(folder: Path, seed: int = 0) -> Path:
    """A model folder without a chat template: digits, `+`, `#` and space."""
    return _save(make_tiny_tokens(folder / "tokens"), folder, seed)


def chatty(folder: Path, seed: int = 0) -> Path:
    """A model folder with ChatML, byte-level: it can read any text."""
    return _save(take(folder / "tokens", KINDS["chatml"]), folder, seed)


def _save(tokens, folder: Path, seed: int) -> Path:
    model = policy.without_dropout(policy.build(SHAPE, tokens, seed))
    with torch.no_grad():  # clear margins: what a test compares must not hang on rounding
        for parameter in model.parameters():
            parameter.mul_(4.0)
    policy.save(model, tokens, folder / "model")
    return folder / "model"
