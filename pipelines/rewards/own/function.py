"""A reward function of the user's own, by its path: as TRL's, or one response at a time; in a process of
its own.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

from pipelines.rewards.judge import Judge, JudgeContext, Question, Response
from pipelines.rewards.own.function_params import FunctionParams
from pipelines.rewards.own.process import FunctionProcess
from pipelines.rewards.own.record import call_row
from pipelines.rewards.scoring import CheckerFailed
from pipelines.rewards.verdict import Verdict, applies

TRIED = 5  # questions that a function is tried on before anything is learnt from it


class FunctionJudge:
    """A judge over a function. Raises FunctionBroken where the function cannot be called."""

    model, rule, deterministic = None, False, False

    def __init__(self, options: FunctionParams) -> None:
        self._options = options
        self._process = FunctionProcess(options)
        weakref.finalize(self, self._process.close)
        self._process.start()

    def judge(self, responses: Sequence[Response]) -> list[Verdict]:
        """Returns one verdict per response, in order; an error verdict where the function raises, takes too
        long, or gives what is no reward.
        """
        return self._process.ask([call_row(response, self._options.messages) for response in responses])

    def preflight(self, records: Sequence[Question]) -> None:
        """Raises CheckerFailed where the function gives an error for the reference answer of each of the
        first questions.
        """
        verdicts = self.judge([Response(record, (), record.answer, True) for record in records[:TRIED]])
        errors = [verdict for verdict in verdicts if verdict.outcome == "error" and applies(verdict)]
        if errors and len(errors) == len(verdicts):
            raise CheckerFailed(
                f"{self._options.path} gives an error for the reference answer of each of {len(errors)} "
                f"questions: {errors[0].reason}"
            )


def make_judge(options: FunctionParams, context: JudgeContext) -> Judge:
    """Returns a judge over the function that the options name; `context` is not used."""
    return FunctionJudge(options)
