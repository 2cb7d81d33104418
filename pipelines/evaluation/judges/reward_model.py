"""The reward model as a judge: the answer with the higher reward wins."""

from __future__ import annotations

from pipelines.evaluation.judges.context import PairJudgeContext
from pipelines.evaluation.judges.options import RewardModelParams
from pipelines.evaluation.judges.scored import ScoredJudge
from pipelines.evaluation.wins import PairJudge


def make(options: RewardModelParams, context: PairJudgeContext) -> PairJudge:
    """Returns a judge that compares the rewards in the assessment's rows."""
    return ScoredJudge("reward_model", "reward", options.gap)
