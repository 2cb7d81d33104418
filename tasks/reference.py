"""The `reference@<run>` stage: the start model's log-probs of all pairs of a DPO run, computed once
(dpo_vs_ppo.md 4.1).
"""

from __future__ import annotations

from pipelines.models import policy
from pipelines.training.reference_logprobs import reference_logprobs, save_reference
from tasks.pair_files import SIDES, read_side
from tasks.stage import Stage
from tasks.training_run import TrainingRun


def run(stage: Stage) -> None:
    """Write data/reference/<run>/{train,validation}.safetensors."""
    start, name = (stage.value(f"dpo.runs.{stage.item}.{key}") for key in ("start", "data"))
    training = TrainingRun(stage, stage.item)
    model, tokens = policy.load(
        stage.input(f"models/{start}/model"), trust_remote_code=stage.execution.trust_remote_code
    )
    model.to(training.placement.device).eval()
    folder = stage.out(f"data/reference/{stage.item}")
    folder.mkdir(parents=True, exist_ok=True)
    ranks = training.ranks
    for done, side in enumerate(SIDES, 1):
        data = read_side(stage, name, side, model, tokens)
        if data is None:
            continue
        logprobs = reference_logprobs(
            model, data, training.placement, stage.execution.micro_batch_tokens, ranks
        )
        if ranks.is_first:
            save_reference(folder / f"{side}.safetensors", logprobs, data)
        stage.say(
            f"{side}: {len(data)} pairs"
            + (f", {len(data.too_long)} longer than the model's context" if data.too_long else "")
        )
        stage.progress(done, len(SIDES), pairs=len(data))
    ranks.leave()
