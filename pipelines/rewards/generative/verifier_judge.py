"""A generative verifier as a judge of last lines. Every distinct (question, key, last line) is
scored once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from pipelines.rewards.generative.prefilter import prefilter_reason
from pipelines.rewards.generative.prompt import final_step
from pipelines.rewards.generative.reading import (
    LabelProbabilities,
    count_votes,
    majority,
    paper_reward,
    reward_of,
    soft_reward,
)
from pipelines.rewards.judge import Question, Response
from pipelines.rewards.models.options import ReadingParams
from pipelines.rewards.scoring import CheckerFailed
from pipelines.rewards.verdict import Verdict, error, wrong

PREFLIGHT_PROBLEMS = 32  # scored by the preflight


class JudgeQuery(NamedTuple):
    """What a verifier judges: question, reference answer (`key`), and last line of the response
    (`candidate`).
    """

    question: str
    key: str
    candidate: str


class LabelModel(Protocol):
    """A model that gives the probabilities of the two labels. Where it cannot (prompt too long, no tokens for
    it, no connection), it gives a reason.
    """

    temperature: float
    model: Any | None

    def read(self, asks: Sequence[JudgeQuery]) -> list[LabelProbabilities | str]:
        """Returns one LabelProbabilities, or a reason, per query, in order."""


class VerifierJudge:
    """A judge over a LabelModel. `counts`: queries by `asked`, `remembered`, and without the model `empty`
    and `prefiltered`; failures by `unparsed` and `error`.
    """

    deterministic, rule = False, False

    def __init__(self, labels: LabelModel, options: ReadingParams) -> None:
        self._labels, self._options = labels, options
        self._known: OrderedDict[JudgeQuery, LabelProbabilities | str] = OrderedDict()
        self.counts: Counter[str] = Counter()
        self.model = labels.model

    def judge(self, responses: Sequence[Response]) -> list[Verdict]:
        """Returns one verdict per response, in order: right where the probability is above the threshold
        (binary: where yes is likelier). A truncated or empty response and a line that the prefilter rejects
        are wrong without the model; a missing reference, a probability that is not finite and too much leak
        are errors.
        """
        verdicts: list[Verdict | None] = [self._without_asking(response) for response in responses]
        asks = [
            None
            if verdict
            else JudgeQuery(response.record.prompt, response.record.answer, final_step(response.text))
            for response, verdict in zip(responses, verdicts, strict=True)
        ]
        readings = self.read([ask for ask in asks if ask])
        next_reading = iter(readings)
        return [
            verdict or self._verdict(ask, next(next_reading))
            for verdict, ask in zip(verdicts, asks, strict=True)
            if verdict or ask
        ]

    def read(self, asks: Sequence[JudgeQuery]) -> list[LabelProbabilities | str]:
        """Returns one LabelProbabilities, or a reason, per query, in order, from the cache where known."""
        new = [ask for ask in dict.fromkeys(asks) if ask not in self._known]
        self.counts["remembered"] += len(asks) - len(new)
        self.counts["asked"] += len(new)
        fresh = dict(zip(new, self._labels.read(new), strict=True)) if new else {}
        results = [fresh[ask] if ask in fresh else self._known[ask] for ask in asks]
        self._known.update(fresh)
        while len(self._known) > self._options.cache:
            self._known.popitem(last=False)
        return results

    def preflight(self, records: Sequence[Question]) -> None:
        """Raises CheckerFailed where most gold answers are not right, or most answers of other questions are
        not wrong: then the prompt is not the one that the model was trained with. Single errors are expected,
        and counted in the report.
        """
        if not self._options.preflight:
            return
        shown = records[:: max(1, len(records) // PREFLIGHT_PROBLEMS)][:PREFLIGHT_PROBLEMS]
        others = [
            next((other.answer for other in shown if other.answer != record.answer), "") for record in shown
        ]
        for answers, expected in (([record.answer for record in shown], "right"), (others, "wrong")):
            verdicts = self.judge(
                [Response(record, (), answer, True) for record, answer in zip(shown, answers, strict=True)]
            )
            hits = sum(verdict.outcome == expected for verdict in verdicts)
            if 2 * hits < len(verdicts):
                reason = next(verdict.reason for verdict in verdicts if verdict.outcome != expected)
                if all(verdict.outcome == "error" for verdict in verdicts):
                    raise CheckerFailed(
                        f"the verifier gives no verdict at all, on {len(verdicts)} of {len(verdicts)} "
                        f"questions: {reason}"
                    )
                which = "gold answers" if expected == "right" else "answers of other questions"
                raise CheckerFailed(
                    f"the verifier calls {hits} of {len(verdicts)} {which} {expected} ({reason}); look at "
                    f"verifier_report"
                )

    def _without_asking(self, response: Response) -> Verdict | None:
        if not response.record.answer.strip():
            return error("the reference answer is empty")
        if not response.finished:
            return wrong("cut off before the end")
        line = final_step(response.text)
        if not line:
            self.counts["empty"] += 1
            return wrong("empty")
        reason = prefilter_reason(line, response.record.answer) if self._options.prefilter else None
        if reason:
            self.counts["prefiltered"] += 1
            return wrong(reason)
        return None

    def _verdict(self, ask: JudgeQuery | None, reading: LabelProbabilities | str) -> Verdict:
        options = self._options
        if isinstance(reading, str):
            self.counts["error"] += 1
            return error(reading)
        if not reading.finite:
            self.counts["error"] += 1
            return error("the verifier's logits are not finite")
        if reading.leak > options.max_leak:
            self.counts["unparsed"] += 1
            return error(f"unparsed: {reading.leak:.2f} of the probability lies outside of the labels")
        temperature = options.temperature or self._labels.temperature
        probability = soft_reward(reading, temperature)
        if options.votes > 1:
            label = majority(count_votes(probability, options.votes, "\x00".join(ask or ())), options.votes)
            return Verdict("right" if label else "wrong", float(label), f"p {probability:.3f}")
        score = (
            paper_reward(reading, int(reading.positive > reading.negative))
            if options.form == "paper"
            else reward_of(reading, options.form, temperature)
        )
        right = score > 0.5 if options.form == "binary" else probability > options.threshold
        return Verdict("right" if right else "wrong", score, f"p {probability:.3f}")
