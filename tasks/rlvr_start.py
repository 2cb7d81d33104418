"""The `rlvr_start@<run>` stage: the model that explores, that RL with verifiers starts from, and that
verifiers are distilled into.
"""

from __future__ import annotations

import json

from pipelines.corpora.record import read_records
from pipelines.models import policy
from pipelines.models.tokenizer import Tokens
from pipelines.settings import laid_over
from pipelines.training.supervised import Demonstrations
from tasks.fine_tuning import learn, publish
from tasks.rlvr_start_params import StartRun
from tasks.sources import opener
from tasks.stage import Stage
from tasks.training_run import TrainingRun


def run(stage: Stage) -> None:
    """Write models/<run>/model, curves/<run>.jsonl and metrics/train/<run>.json."""
    name, execution = stage.item, stage.execution
    settings = StartRun.model_validate(
        laid_over(stage.value("rlvr_start.common"), stage.value(f"rlvr_start.runs.{name}"))
    )
    tokens = Tokens.load(stage.input(f"data/{settings.set}/tokenizer"))
    if settings.model.architecture is not None:
        model = policy.build(settings.model.architecture, tokens, stage.seed)
    else:
        model = policy.fetch(settings.model, tokens, stage.seed, opener(stage), execution.trust_remote_code)
    count = sum(parameter.numel() for parameter in model.parameters())
    stage.say(
        f"{type(model).__name__}: {count:,} parameters, vocabulary {tokens.vocab_size}, context "
        f"{policy.context_size(model)}"
    )
    if settings.sft is None:
        if not stage.first:
            return  # there is nothing to train: one process writes
        policy.save(model, tokens, stage.out(f"models/{name}/model"))
        stage.out(f"curves/{name}.jsonl").write_text("", "utf-8")
        stage.out(f"metrics/train/{name}.json").write_text(
            json.dumps({"parameters": count, "steps": 0}, indent=1) + "\n", "utf-8"
        )
        return
    training, folder = TrainingRun(stage, name), stage.input(f"data/{settings.set}/records")
    data = Demonstrations(read_records(folder / "sft.jsonl"), settings.sft.max_tokens)
    held_out = (
        Demonstrations(read_records(folder / "validation.jsonl"), settings.sft.max_tokens)
        if settings.sft.validation_every
        else None
    )
    engine = learn(training, policy.without_dropout(model), data, held_out, settings.sft)
    publish(training, engine, tokens, data, settings.sft, {"parameters": count})
