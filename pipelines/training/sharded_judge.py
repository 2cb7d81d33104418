"""A judge over several ranks: the verdict on a response is one rank's, and every rank gets it, so that all
learn from the same rewards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.rewards.judge import Judge, Question, Response
from pipelines.rewards.verdict import Verdict
from pipelines.training.ranks import Ranks


class ShardedJudge:
    """Divides the responses of a judge that is not deterministic (a model, a clock); a deterministic one
    judges all on every rank, which costs less than talking. All ranks must call `judge` with the same
    responses.
    """

    deterministic = True

    def __init__(self, judge: Judge, ranks: Ranks) -> None:
        self._judge, self._ranks = judge, ranks

    @property
    def model(self) -> Any | None:
        return self._judge.model

    @property
    def rule(self) -> bool:
        return self._judge.rule

    def judge(self, responses: Sequence[Response]) -> list[Verdict]:
        """Returns one verdict per response, in order, the same on every rank."""
        if self._judge.deterministic or self._ranks.size == 1:
            return self._judge.judge(responses)
        return self._ranks.unshard(self._judge.judge(self._ranks.shard(responses)), len(responses))

    def preflight(self, records: Sequence[Question]) -> None:
        """On every rank: each must be able to judge."""
        self._judge.preflight(records)
