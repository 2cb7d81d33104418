"""The `verifier@<run>` stage: distil a verifier from judgements, and fit its temperature (reward_bridge.md
4.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.corpora.records.judgement import Judgement, distinct, read_judgements
from pipelines.evaluation.agreement import JudgedAnswer, agreement
from pipelines.models import policy
from pipelines.models.policy import context_size
from pipelines.rewards.generative.reading import LabelProbabilities, soft_reward
from pipelines.rewards.models.verifier import VerifierLabels, VerifierPrompt, save_facts
from pipelines.training.supervised import Demonstrations
from pipelines.training.verifier_training import (
    VerifierExample,
    ask_of,
    examples,
    fit_temperature,
    with_negatives,
)
from tasks.fine_tuning import fine_tune, publish
from tasks.stage import Stage
from tasks.training_run import TrainingRun
from tasks.verifier_params import VerifierRun


def run(stage: Stage) -> None:
    """Write models/<run>/model with its verifier.json, curves/<run>.jsonl and metrics/train/<run>.json."""
    name, execution = stage.item, stage.execution
    settings = stage.settings(VerifierRun)
    training = TrainingRun(stage, name)
    model, tokens = policy.load(
        stage.input(f"models/{settings.start}/model"), trust_remote_code=execution.trust_remote_code
    )
    asking = VerifierPrompt.of(settings.asking, tokens)
    folder = stage.input(f"data/{settings.data}/judgements")
    every_judgement = read_judgements(folder / "train.jsonl")
    judgements = distinct(every_judgement) if settings.distinct else every_judgement
    rows, negatives = with_negatives(judgements, settings.negatives, stage.seed)
    calib = read_judgements(folder / "calib.jsonl")
    limit = min(context_size(model), settings.max_tokens)
    data = Demonstrations(_examples(rows, asking, limit, settings, "train"), settings.max_tokens)  # type: ignore[arg-type]
    calib_examples = _examples(calib, asking, limit, settings, "calib")
    held_out = Demonstrations(calib_examples, settings.max_tokens) if settings.validation_every else None  # type: ignore[arg-type]
    stage.say(
        f"{len(every_judgement)} judgements, {len(judgements)} distinct; negatives made of them: "
        f"{_listed(negatives)}"
    )
    engine = fine_tune(training, model, data, held_out, settings)
    facts: dict[str, Any] = {
        "judgements": {
            "read": len(every_judgement),
            "distinct": len(judgements),
            "right": sum(row.label for row in judgements) / len(judgements),
        },
        "negatives": dict(sorted(negatives.items())),
        "asking": settings.asking.prompt.digest,
    }
    with engine.gathered() as gathered:
        if training.ranks.is_first:
            labels = VerifierLabels(gathered.eval(), asking, training.placement, execution.micro_batch_tokens)
            readings = labels.read([ask_of(row) for row in calib])
            temperature = fit_temperature(readings, [row.label for row in calib])
            facts |= {
                "temperature": temperature,
                "calibration": _calibration(calib, readings, temperature, stage.seed),
            }
            folder = stage.out(f"models/{name}/model")
            folder.mkdir(parents=True, exist_ok=True)
            save_facts(folder, settings.asking, temperature)
    publish(training, engine, tokens, data, settings, facts)


def _examples(
    rows: Sequence[Judgement], asking: VerifierPrompt, limit: int, settings: VerifierRun, file: str
) -> list[VerifierExample]:
    """Returns the judgements as training examples. Raises ValueError where more than `max_error_share` cannot
    be converted.
    """
    asked, reasons = examples(rows, asking, limit)
    if sum(reasons.values()) > settings.max_error_share * len(rows):
        raise ValueError(
            f"{sum(reasons.values())} of {len(rows)} judgements of {file}.jsonl cannot be asked, more than "
            f"max_error_share "
            f"{settings.max_error_share:g} allows: {_listed(reasons)}. Raise max_tokens and "
            f"asking.max_tokens, or the tokenizer's alphabet"
        )
    return asked


def _calibration(
    rows: Sequence[Judgement], readings: Sequence[LabelProbabilities | str], temperature: float, seed: int
) -> Mapping[str, Any]:
    """Returns the agreement with the calibration labels, before and after the temperature."""
    result: dict[str, Any] = {}
    for key, scale in (("before", 1.0), ("after", temperature)):
        probabilities = [
            soft_reward(reading, scale)
            if isinstance(reading, LabelProbabilities) and reading.finite
            else None
            for reading in readings
        ]
        judged = [
            JudgedAnswer(
                row.question_id,
                row.label,
                None if probability is None else int(probability > 0.5),
                probability,
            )
            for row, probability in zip(rows, probabilities, strict=True)
        ]
        figures = agreement(judged, seed)
        result[key] = {name: figures.get(name) for name in ("n", "kappa", "auroc", "ece", "brier", "unsure")}
    return result


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.most_common(5)) or "nothing"
