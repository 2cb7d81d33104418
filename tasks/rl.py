"""The `rl@<method>` stage: policy optimisation with verifiable rewards, from the fine-tuned model."""

from __future__ import annotations

from pipelines.training.policy_params import PolicyParams
from tasks.policy_run import settings_of, train_policy
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write models/<method>/model, curves/<method>.jsonl and metrics/train/<method>.json."""
    train_policy(stage, settings_of(stage, PolicyParams, "rl.common", f"rl.{stage.item}"))
