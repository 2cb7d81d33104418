"""The `sft@<run>` stage: supervised fine-tuning of a model on a set's demonstrations."""

from __future__ import annotations

from pipelines.corpora.record import read_records
from tasks.fine_tuning import fine_tune
from tasks.sft_params import SftRun
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write models/<run>/model, curves/<run>.jsonl and metrics/train/<run>.json."""
    settings = stage.settings(SftRun)
    records = stage.input(f"data/{settings.data}/records")
    validation = read_records(records / "validation.jsonl") if settings.validation_every else None
    start = f"models/{settings.start}/model"
    fine_tune(stage, stage.item, start, read_records(records / "sft.jsonl"), validation, settings, {})
