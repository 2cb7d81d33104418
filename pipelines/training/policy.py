"""The policy loop: collect, score, credit, update, validate, log. Every method of this repository is this
loop with other seams.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from pipelines.corpora.record import Record
from pipelines.evaluation.answers import Answer, answer_problems, evenly_spaced
from pipelines.models.policy import context_size
from pipelines.models.tokenizer import Tokens
from pipelines.objectives.divergence import kl_estimate
from pipelines.rewards.judge import Judge
from pipelines.rewards.scoring import limit_errors
from pipelines.rollouts.local import LocalEngine
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.training.batches import batch_indices
from pipelines.training.best import BestWeights
from pipelines.training.collection import Collector
from pipelines.training.crediting import Crediting
from pipelines.training.engine import Engine
from pipelines.training.guard import NotFinite
from pipelines.training.micro_batches import MicroBatcher
from pipelines.training.policy_params import PolicyParams
from pipelines.training.reference import AdapterReference, Reference
from pipelines.training.replay import ReplayBuffer
from pipelines.training.schedule import lr_factor
from pipelines.training.session import Reporter, Session
from pipelines.training.training_row import TrainingRow
from pipelines.training.update import Updater
from pipelines.training.value_learning import Critic

LOOP = "loop.json"
UNLIMITED_ROUNDS = (
    1_000_000  # rounds of one iteration where they are not limited: each draws problems of its own
)


@dataclass
class PolicyTrainer:
    """Everything an iteration needs. `reference` is None where no KL is asked for, `critic` where the credit
    needs no values.

    `judge` gives the rewards; `checker` is the exact one, for validation: the same object where the reward is
    a rule, None where there is none. With several ranks both must give all of them the same verdicts.

    `best` keeps the weights of the best validation. `folder` takes the dump of a sample that is not finite.
    The trainer is a part of its own checkpoints (`save`, `load`).
    """

    engine: Engine
    sampler: LocalEngine
    reference: Reference | AdapterReference | None
    critic: Critic | None
    judge: Judge
    checker: Judge | None
    tokens: Tokens
    problems: Sequence[Record]
    validation: Sequence[Record]
    settings: PolicyParams
    seed: int
    batches: MicroBatcher
    folder: Path
    best: BestWeights | None = None

    def __post_init__(self) -> None:
        self._problems = self._fitting_problems(self.problems, getattr(self.settings.sampler, "reserved", 0))
        self._validation = self._fitting_problems(self.validation) if self.settings.validation_every else []
        self._collector = Collector(self.sampler, self.tokens, self.judge, self.settings, self.seed)
        self._updater = Updater(self.engine, self.settings, self.seed, self.batches)
        self._crediting = Crediting(self._updater, self.batches, self.reference, self.critic, self.settings)
        self._replay = (
            ReplayBuffer(self.settings.replay, self.seed, TrainingRow) if self.settings.replay else None
        )
        self._empty = 0  # iterations in a row without anything to learn from
        self._tokens = 0  # sampled so far

    def train(self, session: Session, reporter: Reporter) -> None:
        """Run all iterations that `session` has left. Before them, the judges must get known answers
        right.
        """
        settings = self.settings
        self.judge.preflight(self._problems)
        if self.checker is not None and self.checker is not self.judge and self._validation:
            self.checker.preflight(self._validation)
        self._collector.say = reporter.say
        self._report_dropped(reporter)
        before, started = self._tokens, time.monotonic()
        with session:
            self.sampler.check_stop = session.check_stop
            if session.done == 0 and settings.validation_every:
                with self._error_context(0):
                    reporter.log(0, **self._validate())
            for iteration in session:
                with self._error_context(iteration):
                    row = self.run_iteration(iteration)
                    done, last = (
                        iteration + 1,
                        iteration + 1 == settings.iterations or self._budget_used() >= 1,
                    )
                    # from here to the end of the step the weights are no step's start
                    self.sampler.check_stop = lambda: None
                    if settings.validation_every and (done % settings.validation_every == 0 or last):
                        row |= self._validate()
                        if self.best is not None:
                            self.best.offer(
                                [self.engine],
                                done,
                                row.get("validation_reward", row.get("validation_sampled", 0.0)),
                            )
                reporter.log(done, **row)
                self.sampler.check_stop = session.check_stop
                speed = (self._tokens - before) / (time.monotonic() - started)
                reporter.progress(
                    done, settings.iterations, reward=row["reward"], length=row["length"], tokens_per_s=speed
                )
                if last:
                    break

    def save(self, folder: Path) -> None:
        """The loop's own state: what is neither weights nor a function of the step."""
        (folder / LOOP).write_text(json.dumps({"empty": self._empty, "tokens": self._tokens}), "utf-8")
        if self._replay is not None:
            torch.save(self._replay.state_dict(), folder / "replay.pt")

    def load(self, folder: Path) -> None:
        """Take back what `save` wrote."""
        noted = json.loads((folder / LOOP).read_text("utf-8"))
        self._empty, self._tokens = noted["empty"], noted["tokens"]
        if self._replay is not None:
            self._replay.load_state_dict(torch.load(folder / "replay.pt", weights_only=True))

    @contextmanager
    def _error_context(self, iteration: int) -> Iterator[None]:
        """Say the step, the sample and its dump of what is not finite."""
        try:
            yield
        except NotFinite as error:
            raise error.dump(self.folder, iteration) from None
        except FloatingPointError as error:
            raise FloatingPointError(f"iteration {iteration}: {error}") from error

    def _report_dropped(self, reporter: Reporter) -> None:
        kinds = [("problems", self.problems, self._problems)]
        if self.settings.validation_every:
            kinds.append(("validation problems", self.validation, self._validation))
        for kind, given, kept in kinds:
            if dropped := len(given) - len(kept):
                reporter.say(
                    f"{dropped} of {len(given)} {kind} leave no room for an answer in the model's context; "
                    f"they are not used"
                )

    def run_iteration(self, iteration: int) -> dict[str, float]:
        settings = self.settings
        with self.engine.gathered():
            rollout = self._collector.collect(partial(self._draw_problems, iteration), iteration)
        self.sampler.release_memory()
        factor = lr_factor(
            max(iteration, self._budget_used() * settings.iterations), settings.iterations, settings.schedule
        )
        self._tokens += int(rollout.figures["sampled_tokens"])
        rows, figures = self._crediting.rows(rollout)
        for row in rows:
            row.iteration = iteration
        warm = settings.critic is not None and iteration < settings.critic.warmup
        if warm or not rows or self._replay is not None:  # the first update shows it else
            figures |= self._updater.sampler_mismatch(rows or rollout.training_rows()[1])
        if self._replay is not None:
            rows, more = self._replay_rows(self._replay, rows, iteration)
            figures |= more
        if not rows:
            return rollout.figures | figures | self._empty_iteration()
        self._empty = 0
        if settings.kl.use == "loss":
            self._crediting.score_with_reference(rows)
        beside = self.critic.update if self.critic else None
        done = self._updater.update(rows, iteration, factor, beside, learn=not warm)
        if self.reference is not None and settings.reference.rate:
            with self.engine.gathered() as model:
                self.reference.ema_update(model)
        return (
            rollout.figures | figures | {"empty": 0, "lr": settings.optimiser.learning_rate * factor} | done
        )

    def _budget_used(self) -> float:
        """The share of the token budget that is used up; 0 without one."""
        return self._tokens / self.settings.token_budget if self.settings.token_budget else 0.0

    def _replay_rows(
        self, buffer: ReplayBuffer[TrainingRow], rows: list[TrainingRow], iteration: int
    ) -> tuple[list[TrainingRow], dict[str, float]]:
        buffer.add(iteration, [(row.question, row) for row in rows])
        drawn = buffer.draw(iteration)
        ages = [iteration - entry.stamp for entry in drawn.entries]
        figures = {
            "replay_size": float(len(buffer)),
            "replay_expired": float(drawn.expired),
            "replay_age": sum(ages) / max(1, len(ages)),
        }
        return [entry.row for entry in drawn.entries], figures

    def _empty_iteration(self) -> dict[str, float]:
        self._empty += 1
        if self._empty >= self.settings.max_empty:
            raise RuntimeError(
                f"{self._empty} iterations in a row had nothing to learn from: all responses to each prompt "
                f"have the same reward. "
                "Choose problems nearer to the policy's ability, take more samples per prompt, raise the "
                "temperature, or look whether the "
                "checker and the prompt template fit"
            )
        return {"empty": self._empty, "updates": 0}

    def _draw_problems(self, iteration: int, number: int, count: int) -> list[Record]:
        """The problems of a round. Round 0 passes through all of them; further rounds of dynamic sampling
        follow a shuffle of their own.
        """
        if number == 0:
            chosen = batch_indices(len(self._problems), count, iteration, self.seed)
        else:
            rounds = self.settings.refill.rounds if self.settings.refill else 1
            chosen = batch_indices(
                len(self._problems), count, iteration * (rounds or UNLIMITED_ROUNDS) + number, self.seed + 1
            )
        return [self._problems[index] for index in chosen]

    def _fitting_problems(self, problems: Sequence[Record], reserved: int = 0) -> list[Record]:
        """Problems whose prompt leaves room for an answer of more than `reserved` tokens. Raises ValueError
        when none does.
        """
        context = context_size(self.engine.model)
        kept = [record for record in problems if len(record.prompt_ids) + reserved < context]
        if not problems:
            raise ValueError(
                "there is no prompt to answer: the corpus' records of this side are empty; its metrics say "
                "what took them out"
            )
        if not kept:
            beside = f" beside the {reserved} tokens of the tree's inner levels" if reserved else ""
            raise ValueError(
                f"none of {len(problems)} prompts leaves room{beside} in the model's context of {context} "
                f"tokens"
            )
        return kept

    def _validate(self) -> dict[str, float]:
        """Accuracy on validation problems, greedy and sampled as in training, and the KL of the sampled
        answers to the reference.

        Where the reward is not the exact checker's, `validation_reward` is the mean of the sampled answers'
        scores: the reward that rises while the accuracy falls shows a judge that is being gamed.
        """
        problems, figures = evenly_spaced(self._validation, self.settings.validation_size), dict[str, float]()
        with self.engine.gathered():
            sampled = self._answer(problems, self.settings.sampling)
            if self.checker is not None:
                greedy_answers = self._answer(problems, greedy(self.settings.sampling))
                figures["validation_greedy"] = sum(answer.right for answer in greedy_answers) / len(
                    greedy_answers
                )
                figures["validation_sampled"] = sum(answer.right for answer in sampled) / len(sampled)
        if self.checker is not self.judge:
            figures["validation_reward"] = self._mean_score(sampled)
        if self.reference is not None and not self.settings.needs_reference:
            rows = [_as_row(answer) for answer in sampled]
            self._crediting.score_with_reference(rows)
            pairs = [
                kl_estimate(row.old_logprobs, row.reference_logprobs, "k3")
                for row in rows
                if row.reference_logprobs is not None
            ]
            figures["kl"] = sum(float(part.sum()) for part in pairs) / sum(len(part) for part in pairs)
        return figures

    def _answer(self, problems: Sequence[Record], sampling: SamplingParams) -> list[Answer]:
        judge, limit = self.checker or self.judge, self.settings.max_error_share
        return answer_problems(self.sampler, self.tokens, judge, problems, 1, sampling, self.seed, limit)

    def _mean_score(self, answers: Sequence[Answer]) -> float:
        verdicts = [answer.verdict for answer in answers]
        if self.checker is not None:
            verdicts = limit_errors(
                self.judge.judge([answer.response for answer in answers]), self.settings.max_error_share
            )
        scores = [verdict.score for verdict in verdicts if verdict.outcome != "error"]
        return sum(scores) / max(1, len(scores))


def greedy(sampling: SamplingParams) -> SamplingParams:
    """The same settings, greedy."""
    return sampling.model_copy(update={"temperature": 0.0})


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
