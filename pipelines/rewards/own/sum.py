"""A weighted sum of rewards, each of which the metrics hold by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipelines.rewards.judge import Judge, JudgeContext, Question, Response, judge_of
from pipelines.rewards.own.function import FunctionJudge
from pipelines.rewards.own.sum_params import SumParams
from pipelines.rewards.verdict import NOT_APPLICABLE, Verdict, applies


class SumJudge:
    """A judge over the judges of its parts. It is a rule where all of them are."""

    def __init__(self, judges: Mapping[str, Judge], options: SumParams) -> None:
        self._judges, self._options = judges, options
        self.rule = all(judge.rule for judge in judges.values())
        self.deterministic = all(judge.deterministic for judge in judges.values())
        models = (judge.model for judge in judges.values())
        self.model: Any | None = next((model for model in models if model is not None), None)

    @property
    def reader(self) -> Any | None:
        """The tokenizer of a reward model that reads other ids than the policy's."""
        return next(filter(None, (getattr(judge, "reader", None) for judge in self._judges.values())), None)

    def judge(self, responses: Sequence[Response]) -> list[Verdict]:
        """Returns one verdict per response, in order: an error where a part's is one, and where none
        applies.
        """
        columns = dict(zip(self._judges, self._judged(responses), strict=True))
        return [
            self._total({name: verdicts[index] for name, verdicts in columns.items()})
            for index in range(len(responses))
        ]

    def preflight(self, records: Sequence[Question]) -> None:
        """Runs the preflight of every part."""
        for judge in self._judges.values():
            judge.preflight(records)

    def _judged(self, responses: Sequence[Response]) -> Iterator[list[Verdict]]:
        """Yields the verdicts of each part. Functions, which have processes of their own, judge at the
        same time.
        """
        with ThreadPoolExecutor(len(self._judges)) as threads:
            begun = {
                name: threads.submit(judge.judge, responses)
                for name, judge in self._judges.items()
                if isinstance(judge, FunctionJudge)
            }
            others = {
                name: judge.judge(responses) for name, judge in self._judges.items() if name not in begun
            }
            for name in self._judges:
                yield begun[name].result() if name in begun else others[name]

    def _total(self, verdicts: Mapping[str, Verdict]) -> Verdict:
        options = self._options
        asked = {name: verdict for name, verdict in verdicts.items() if applies(verdict)}
        parts = tuple(
            figure
            for name, verdict in asked.items()
            if verdict.outcome != "error"
            for figure in ((name, verdict.score), *((f"{name}/{inner}", v) for inner, v in verdict.parts))
        )
        failed = [
            f"{name}: {verdict.reason}" for name, verdict in asked.items() if verdict.outcome == "error"
        ]
        if failed or not asked:
            return Verdict("error", 0.0, "; ".join(failed) or NOT_APPLICABLE, parts)
        score = sum(options.parts[name].weight * verdict.score for name, verdict in asked.items())
        reasons = "; ".join(f"{name}: {verdict.reason}" for name, verdict in asked.items() if verdict.reason)
        if options.decides in asked:
            return Verdict(asked[options.decides].outcome, score, reasons, parts)
        return Verdict("right" if score > options.threshold else "wrong", score, reasons, parts)


def make_judge(options: SumParams, context: JudgeContext) -> Judge:
    """Returns a judge over the rewards that the options name."""
    return SumJudge({name: judge_of(part.reward, context) for name, part in options.parts.items()}, options)
