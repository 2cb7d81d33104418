"""The `ppo_rm@<run>` stage: the policy loop against a reward model (dpo_vs_ppo.md 5)."""

from __future__ import annotations

from tasks.policy_run import settings_of, train_policy
from tasks.ppo_rm_params import PolicyRun
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write models/<run>/model, curves/<run>.jsonl and metrics/train/<run>.json."""
    settings = settings_of(stage, PolicyRun, "rl.common", "ppo_rm.common", f"ppo_rm.runs.{stage.item}")
    train_policy(stage, settings, settings.start)
