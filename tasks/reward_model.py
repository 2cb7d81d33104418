"""The `reward_model@<run>` stage: a Bradley-Terry reward model from pairs (dpo_vs_ppo.md 3.1)."""

from __future__ import annotations

from pipelines.training.ranking import RankData
from tasks.score_model import train_scores
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write models/<run>/model, curves/<run>.jsonl and metrics/train/<run>.json."""
    train_scores(stage, RankData.rewards)
