"""The model that a user names: its tokenizer and chat template, as the stage `base` will take them, and its
context.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.new.data import NewError
from pipelines.models.loading import load_tokenizer
from pipelines.models.tokenizer import Tokens
from pipelines.models.tokenizer_params import PretrainedTokenizer, TemplateParams
from pipelines.models.tokenizer_training import make_tokens
from pipelines.sources.manifest import SourceError
from pipelines.sources.opening import unrecorded
from pipelines.sources.source_params import HUB_ID, Reference

CONTRACT = "tokens.json"  # of a model that was trained here
CHAT: dict[str, Any] = {"prompt": "{query}", "chat": True}
PLAIN: dict[str, Any] = {"prompt": "{query}\n"}  # of a model that has learnt no turns


@dataclass(frozen=True)
class GivenModel:
    """`name`: the value of `pretrained`; `template`: of the recipe, None where the model could not be looked
    at; `context`: its positions, None where its config does not say; `missing`: why it could not be.
    """

    name: str
    template: dict[str, Any] | None
    tokens: Tokens | None
    context: int | None
    missing: str = ""

    @property
    def template_shown(self) -> str:
        """How a question becomes a prompt, in words."""
        if self.template == CHAT:
            return "its own chat template"
        if self.template in (None, PLAIN):
            return "no chat template, so the prompt is the text alone"
        return f"the template that it was trained with, {self.template['prompt']}"

    @property
    def is_hub(self) -> bool:
        return Reference(self.name, "model").source(Path()).hub is not None


def look_at(root: Path, value: str, cwd: Path, folder: Path) -> GivenModel:
    """Returns what a model's files say; `folder`: where its tokenizer is written. Run in the project's
    folder. Raises NewError where a path names nothing, or no tokenizer that serves.
    """
    name = _name(root, value, cwd)
    if not os.path.lexists(name) and not HUB_ID.fullmatch(name):
        raise NewError(f"--model {value}: no such file or folder, and no id of a hub (NAME or OWNER/NAME)")
    try:
        with unrecorded(name, "tokenizer") as source:
            template = CHAT if load_tokenizer(source, use_fast=True).chat_template else _learnt(source.folder)
        params = PretrainedTokenizer(kind="pretrained", id=name)
        tokens = make_tokens(params, TemplateParams(**template), (), folder)
        return GivenModel(name, template, tokens, _context(name))
    except SourceError as error:
        if Reference(name, "model").source(root).hub is None:
            raise NewError(f"--model {value}: {error}") from error
        return GivenModel(name, None, None, None, str(error))
    except (OSError, ValueError) as error:
        raise NewError(f"--model {value}: {error}") from error


def _learnt(folder: Path) -> dict[str, Any]:
    """Returns the template around a question that a model of this project was trained with, else PLAIN."""
    try:
        template = json.loads((folder / CONTRACT).read_text("utf-8"))["template"]
        return {"prompt": f"{template['before']}{{query}}{template['after']}"}
    except (OSError, ValueError, LookupError, TypeError):
        return PLAIN


def _name(root: Path, value: str, cwd: Path) -> str:
    path = Path(value).expanduser()
    path = path if path.is_absolute() else cwd / path
    if not os.path.lexists(path):
        return value
    path = Path(os.path.normpath(path))
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _context(name: str) -> int | None:
    from transformers import AutoConfig

    with unrecorded(name, "model") as source:
        config = AutoConfig.from_pretrained(str(source.folder), **source.options)
    size = getattr(config, "max_position_embeddings", None)
    return size if isinstance(size, int) and size > 0 else None
