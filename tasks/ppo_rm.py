"""The `ppo_rm@<run>` stage: the policy loop against the reward model of stage `reward_model` (methods/dpo_vs_ppo.md section 5)."""

from __future__ import annotations

from tasks.policy_run import settings_of, train_policy
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write models/<run>/model, curves/<run>.jsonl and metrics/train/<run>.json."""
    train_policy(stage, settings_of(stage, "rl.common", "ppo_rm.common", f"ppo_rm.runs.{stage.item}"))
