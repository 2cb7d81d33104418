"""The `sft_safe@<run>` stage: SafeSFT, fine-tuning on the answers of a safety set that are labelled safe
(dpo_vs_ppo.md 2).

Every prompt with every safe answer, both of a dual-safe pair included, before the set's filters: they are
about pairs.
"""

from __future__ import annotations

from collections import Counter

from pipelines.corpora.pair import read_pairs
from pipelines.corpora.record import read_records
from pipelines.training.safe_demonstrations import prepare_safe
from tasks.fine_tuning import fine_tune
from tasks.sft_safe_params import SafeRun
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write models/<run>/model, curves/<run>.jsonl and metrics/train/<run>.json."""
    settings = stage.settings(SafeRun)
    folder = stage.input(f"data/{settings.data}/pairs")
    responses = read_records(folder / "responses.jsonl")
    records = [record for record in responses if record.answer == "safe"]
    if not records:
        raise ValueError(
            f"{folder}/responses.jsonl holds no answer that is labelled safe; SafeSFT needs a set with "
            f"safety flags"
        )
    counts = dict(sorted(Counter(record.answer for record in responses).items()))
    validation = (
        prepare_safe(read_pairs(folder / "validation.jsonl"))[0] if settings.validation_every else None
    )
    stage.say("answers: " + ", ".join(f"{name} {number}" for name, number in counts.items()))
    fine_tune(
        stage,
        stage.item,
        f"models/{settings.start}/model",
        records,
        validation,
        settings,
        {"answers": counts},
    )
