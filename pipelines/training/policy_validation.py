"""Validation while a policy trains: accuracy of greedy and sampled answers, KL to the reference."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.corpora.records.record import Record
from pipelines.evaluation.answers import Answer, answer_problems, evenly_spaced
from pipelines.objectives.divergence import kl_estimate
from pipelines.rewards.scoring import limit_errors
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.training.credit_assignment import CreditAssigner
from pipelines.training.policy_params import PolicyParams
from pipelines.training.policy_parts import Generation, Judging, Learner
from pipelines.training.training_row import TrainingRow


class Validator:
    """Answers the validation `problems`, or `validation_size` of them, as the policy is at each call."""

    def __init__(
        self,
        learner: Learner,
        generation: Generation,
        judging: Judging,
        problems: Sequence[Record],
        credit: CreditAssigner,
        settings: PolicyParams,
        seed: int,
    ) -> None:
        self._learner, self._generation, self._judging = learner, generation, judging
        self._problems = evenly_spaced(problems, settings.validation_size)
        self._credit, self._settings, self._seed = credit, settings, seed

    def validate(self) -> dict[str, float]:
        """Returns the accuracy on the problems, greedy and sampled as in training, and the KL of the sampled
        answers to the reference.

        Where the reward is not the exact checker's, `validation_reward` is the mean of the sampled answers'
        scores: the reward that rises while the accuracy falls shows a judge that is being gamed.
        """
        figures, settings = dict[str, float](), self._settings
        with self._learner.engine.gathered():
            sampled = self._answer(settings.sampling)
            if self._judging.checker is not None:
                figures["validation_greedy"] = _accuracy(self._answer(greedy(settings.sampling)))
                figures["validation_sampled"] = _accuracy(sampled)
        if not self._judging.exact:
            figures["validation_reward"] = self._mean_score(sampled)
        if self._learner.reference is not None and not settings.needs_reference:
            figures["kl"] = self._kl(sampled)
        return figures

    def _answer(self, sampling: SamplingParams) -> list[Answer]:
        judge, limit = self._judging.checker or self._judging.judge, self._settings.max_error_share
        engine, tokens = self._generation.engine, self._generation.tokens
        return answer_problems(engine, tokens, judge, self._problems, 1, sampling, self._seed, limit)

    def _mean_score(self, answers: Sequence[Answer]) -> float:
        verdicts = [answer.verdict for answer in answers]
        if self._judging.checker is not None:
            verdicts = limit_errors(
                self._judging.judge.judge([answer.response for answer in answers]),
                self._settings.max_error_share,
            )
        scores = [verdict.score for verdict in verdicts if verdict.outcome != "error"]
        return sum(scores) / max(1, len(scores))

    def _kl(self, answers: Sequence[Answer]) -> float:
        """Mean over the tokens of the answers, in nats (k3)."""
        rows = [_as_row(answer) for answer in answers]
        self._credit.score_with_reference(rows)
        estimates = [
            kl_estimate(row.old_logprobs, row.reference_logprobs, "k3")
            for row in rows
            if row.reference_logprobs is not None
        ]
        return sum(float(part.sum()) for part in estimates) / sum(len(part) for part in estimates)


def greedy(sampling: SamplingParams) -> SamplingParams:
    """Returns the same settings at temperature 0."""
    return sampling.model_copy(update={"temperature": 0.0})


def _accuracy(answers: Sequence[Answer]) -> float:
    return sum(answer.right for answer in answers) / len(answers)


def _as_row(answer: Answer) -> TrainingRow:
    completion = answer.completion
    context = (tuple(answer.record.prompt_ids),)
    return TrainingRow(
        answer.record.id,
        context,
        tuple(completion.ids),
        completion.logprobs,
        completion.logprobs,
        completion.entropy,
    )
