"""The `sft_safe@<run>` stage: SafeSFT, fine-tuning on the answers of a set of pairs that are labelled safe (methods/dpo_vs_ppo.md 2)."""

from __future__ import annotations

from pipelines.corpora.pair import read_pairs
from pipelines.training.safe_demonstrations import prepare_safe
from tasks.fine_tuning import fine_tune
from tasks.run_params import run_settings
from tasks.sft_safe_params import SafeRun
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write models/<run>/model, curves/<run>.jsonl and metrics/train/<run>.json."""
    settings = run_settings(stage, SafeRun)
    folder = stage.input(f"data/preferences/{settings.preferences}")
    records, counts = prepare_safe(read_pairs(folder / "train.jsonl"))
    validation = prepare_safe(read_pairs(folder / "validation.jsonl"))[0] if settings.validation_every else None
    stage.say("answers: " + ", ".join(f"{name} {number}" for name, number in sorted(counts.items())))
    fine_tune(stage, stage.item, f"models/{settings.start}/model", records, validation, settings, {"answers": dict(sorted(counts.items()))})
