"""The `base@<run>` stage: a model that other runs start from, built from scratch or loaded from Hugging Face,
with its tokenizer and chat template.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.corpora.records.training_texts import TrainingTexts
from pipelines.models import policy
from pipelines.models.tokenizer import Tokens
from pipelines.models.tokenizer_params import PretrainedTokenizer
from pipelines.models.tokenizer_training import make_tokens
from pipelines.sources.opening import Opener
from tasks.base_params import BaseRun
from tasks.sources import opener
from tasks.stage import Stage

CHAT_TEMPLATE = "chat_template.jinja"  # where transformers saves it


def run(stage: Stage) -> None:
    """Write models/<run>/model."""
    settings = stage.settings(BaseRun)
    tokens = _tokens(stage, settings)
    if settings.architecture is not None:
        model = policy.build(settings.architecture, tokens, stage.seed)
    else:
        model = policy.fetch(settings, tokens, stage.seed, opener(stage), stage.execution.trust_remote_code)
    count = sum(parameter.numel() for parameter in model.parameters())
    stage.say(
        f"{type(model).__name__}: {count:,} parameters, vocabulary {tokens.vocab_size}, context "
        f"{policy.context_size(model)}"
    )
    if sentence := _template_sentence(settings, tokens, _folder(stage)):
        stage.notice(sentence)
    policy.save(model, tokens, stage.out(f"models/{stage.item}/model"))


def _template_sentence(settings: BaseRun, tokens: Tokens, folder: Path) -> str:
    """Returns what happens with the chat template that a tokenizer brings; empty where it brings none."""
    if settings.template is None and tokens.chat is not None:
        return "template: the tokenizer's own chat template; template: {chat: false} leaves it out"
    if settings.published_tokenizer and tokens.chat is None and (folder / CHAT_TEMPLATE).exists():
        return "template: written out; the tokenizer's own chat template is used with template: {chat: true}"
    return ""


def _tokens(stage: Stage, settings: BaseRun) -> Tokens:
    params, open_source, texts = settings.tokenizer, opener(stage), TrainingTexts(())
    if params is None:
        assert settings.pretrained is not None
        params = PretrainedTokenizer(kind="pretrained", id=settings.pretrained, revision=settings.revision)
        return make_tokens(params, settings.template, texts, _folder(stage), _as_model(open_source))
    if not settings.published_tokenizer:
        texts = TrainingTexts.of(stage.input(f"data/{settings.data}/records"))
    return make_tokens(params, settings.template, texts, _folder(stage), open_source)


def _folder(stage: Stage) -> Path:
    """Returns the folder where the tokenizer is written, before it is copied beside the weights."""
    return stage.work / "tokenizer"


def _as_model(open_source: Opener) -> Opener:
    """Returns an opener for the model's own files, its tokenizer's among them, which params.yaml names as an
    outside model.
    """

    def open_model(value: Any, kind: Any, revision: str | None = None) -> Any:
        return open_source(value, "model", revision)

    return open_model
