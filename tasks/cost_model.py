"""The `cost_model@<run>` stage: a cost model from pairs with safety labels; above 0 is harmful (dpo_vs_ppo.md
3.4).
"""

from __future__ import annotations

from pipelines.training.ranking import RankData
from tasks.score_model import train_scores
from tasks.stage import Stage


def run(stage: Stage) -> None:
    """Write models/<run>/model, curves/<run>.jsonl and metrics/train/<run>.json."""
    train_scores(stage, RankData.costs)
