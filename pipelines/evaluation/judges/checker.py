"""The exact checker as a judge: the answer with the higher score wins."""

from __future__ import annotations

from pipelines.evaluation.judges.context import PairJudgeContext
from pipelines.evaluation.judges.scored import ScoredJudge
from pipelines.evaluation.wins import PairJudge
from pipelines.settings import Choice


def make(options: Choice, context: PairJudgeContext) -> PairJudge:
    """Returns a judge that compares the scores in the assessment's rows."""
    return ScoredJudge("checker", "score")
