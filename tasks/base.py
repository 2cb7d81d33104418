"""The `base@<run>` stage: a model that others start from, built from scratch or taken from Hugging Face."""

from __future__ import annotations

from pipelines.models import policy
from pipelines.models.tokenizer import Tokens
from tasks.base_params import BaseRun
from tasks.sources import opener
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write models/<run>/model."""
    settings = stage.settings(BaseRun)
    tokens = Tokens.load(stage.input(f"data/{settings.data}/tokenizer"))
    if settings.architecture is not None:
        model = policy.build(settings.architecture, tokens, stage.seed)
    else:
        model = policy.fetch(settings, tokens, stage.seed, opener(stage), stage.execution.trust_remote_code)
    count = sum(parameter.numel() for parameter in model.parameters())
    stage.say(
        f"{type(model).__name__}: {count:,} parameters, vocabulary {tokens.vocab_size}, context "
        f"{policy.context_size(model)}"
    )
    policy.save(model, tokens, stage.out(f"models/{stage.item}/model"))
