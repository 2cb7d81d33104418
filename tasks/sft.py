"""The `sft` stage: supervised fine-tuning of the base model on the corpus's demonstrations."""

from __future__ import annotations

from pipelines.corpora.record import read_records
from pipelines.training.supervised_params import SupervisedParams
from tasks.fine_tuning import fine_tune
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write models/sft/model, curves/sft.jsonl and metrics/train/sft.json."""
    settings = stage.section("sft", SupervisedParams)
    records = stage.input(f"data/{stage.value('train.corpus')}/records")
    validation = read_records(records / "validation.jsonl") if settings.validation_every else None
    fine_tune(
        stage, "sft", "models/base/model", read_records(records / "sft.jsonl"), validation, settings, {}
    )
