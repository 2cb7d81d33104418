"""The policy loop: collect, score, credit, update, validate, log. Every method of this repository is this loop with other seams."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.corpora.record import Record
from pipelines.evaluation.answers import Answer, answer_problems, spread
from pipelines.models.logprobs import score
from pipelines.models.tokenizer import Tokens
from pipelines.objectives.divergence import kl_estimate
from pipelines.rewards.scoring import preflight
from pipelines.rollouts.local import LocalEngine
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.seams import load
from pipelines.training.batches import pick
from pipelines.training.collection import Collector, Row
from pipelines.training.engine import Engine
from pipelines.training.policy_params import PolicyParams
from pipelines.training.schedule import rate_factor
from pipelines.training.session import Reporter, Session
from pipelines.training.update import Updater


@dataclass
class PolicyTrainer:
    """Everything an iteration needs. `reference` is a frozen copy of the start model, or None where no KL is asked for."""

    engine: Engine
    sampler: LocalEngine
    reference: Any
    tokens: Tokens
    problems: Sequence[Record]
    validation: Sequence[Record]
    settings: PolicyParams
    seed: int
    budget: int

    def __post_init__(self) -> None:
        if self.tokens.reward != self.settings.reward:
            raise ValueError(
                f"the corpus names the checker {self.tokens.reward} (tokens.json), "
                f"the settings name reward {self.settings.reward}; make them equal"
            )
        self._checker = load("pipelines.rewards", self.settings.reward)
        self._collector = Collector(self.sampler, self.tokens, self.settings, self.seed)
        self._updater = Updater(self.engine, self.settings, self.tokens.pad_id, self.seed, self.budget)

    def train(self, session: Session, reporter: Reporter) -> None:
        """Run all iterations that `session` has left. Before them, the checker must get known answers right."""
        settings = self.settings
        preflight(self._checker.check, self._checker.respond, [(record.source, record.answer) for record in self.problems])
        tokens, started = 0, time.monotonic()
        with session:
            self.sampler.pause = session.pause
            if session.done == 0 and settings.validation_every:
                reporter.log(0, **self._validate())
            for iteration in session:
                row = self._iterate(iteration)
                done = iteration + 1
                self.sampler.pause = lambda: None  # from here to the end of the step the weights are no step's start
                if settings.validation_every and (done % settings.validation_every == 0 or done == settings.iterations):
                    row |= self._validate()
                reporter.log(done, **row)
                self.sampler.pause = session.pause
                tokens += int(row["sampled_tokens"])
                speed = tokens / (time.monotonic() - started)
                reporter.progress(done, settings.iterations, reward=row["reward"], length=row["length"], tokens_per_s=speed)

    def _iterate(self, iteration: int) -> dict[str, float]:
        chosen = pick(len(self.problems), self.settings.prompts, iteration, self.seed)
        rows, figures = self._collector.collect([self.problems[index] for index in chosen], iteration)
        if self.settings.old_logprobs == "trainer":
            for row, logprobs in zip(rows, self._updater.logprobs(self.engine.forward, rows), strict=True):
                row.old_logprobs = logprobs
        if self.settings.kl_coef:
            for row, logprobs in zip(rows, self._updater.logprobs(self._refer, rows), strict=True):
                row.reference = logprobs
        factor = rate_factor(iteration, self.settings.iterations, self.settings.schedule)
        return figures | {"lr": self.settings.optimiser.learning_rate * factor} | self._updater.update(rows, iteration, factor)

    def _refer(self, input_ids: Any, response: Any, temperature: float) -> Any:
        with self.engine.placement.autocast():
            return score(self.reference, input_ids, response, temperature)

    def _validate(self) -> dict[str, float]:
        """Accuracy on validation problems, greedy and sampled as in training, and the KL of the sampled answers to the start model."""
        problems = spread(self.validation, self.settings.validation_size)
        sampled = self._answer(problems, self.settings.sampling)
        greedy = self._answer(problems, greedily(self.settings.sampling))
        figures = {
            "validation_greedy": sum(answer.right for answer in greedy) / len(greedy),
            "validation_sampled": sum(answer.right for answer in sampled) / len(sampled),
        }
        if self.reference is not None and not self.settings.kl_coef:
            rows = [_as_row(answer) for answer in sampled]
            theirs = self._updater.logprobs(self._refer, rows)
            pairs = [kl_estimate(row.old_logprobs, other, "k3") for row, other in zip(rows, theirs, strict=True)]
            figures["kl"] = sum(float(part.sum()) for part in pairs) / sum(len(part) for part in pairs)
        return figures

    def _answer(self, problems: Sequence[Record], sampling: SamplingParams) -> list[Answer]:
        check, limit = self._checker.check, self.settings.max_error_share
        return answer_problems(self.sampler, self.tokens, check, problems, 1, sampling, self.seed, limit)


def greedily(sampling: SamplingParams) -> SamplingParams:
    """The same settings, greedy."""
    return sampling.model_copy(update={"temperature": 0.0})


def _as_row(answer: Answer) -> Row:
    completion = answer.completion
    ids = answer.record.prompt_ids + completion.ids
    return Row(ids, len(answer.record.prompt_ids), completion.logprobs, completion.logprobs, completion.entropy, completion.logprobs)
