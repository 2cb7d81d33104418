"""The policy loop: collect, score, credit, update, validate, log. Every method of this repository is this
loop with other seams.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pipelines.models.policy import context_size
from pipelines.training.best import BestWeights
from pipelines.training.collection import Collector
from pipelines.training.credit_assignment import CreditAssigner
from pipelines.training.guard import NotFinite
from pipelines.training.policy_params import PolicyParams
from pipelines.training.policy_parts import Generation, Judging, Learner, ProblemSets
from pipelines.training.policy_validation import Validator
from pipelines.training.problem_order import ProblemOrder, fitting_problems
from pipelines.training.replay import ReplayBuffer
from pipelines.training.sample_rows import some_samples
from pipelines.training.schedule import lr_factor
from pipelines.training.session import Reporter, TrainingSession
from pipelines.training.training_row import TrainingRow
from pipelines.training.update import Updater

LOOP = "loop.json"
LEARN_SOMETHING = (
    "choose problems nearer to the policy's ability, take more samples per prompt, raise the temperature, or "
    "look whether the checker and the prompt template fit"
)


@dataclass
class PolicyTrainer:
    """Joins the parts. `dump_folder` takes the dump of a sample that is not finite; `best` keeps the weights
    of the best validation; `show` gets some responses of each iteration, for people: the iterations done with
    it, and what makes rows of them (`some_samples`). The trainer is a part of its own checkpoints
    (`save`, `load`).
    """

    settings: PolicyParams
    seed: int
    learner: Learner
    generation: Generation
    judging: Judging
    problems: ProblemSets
    dump_folder: Path
    best: BestWeights | None = None
    show: Callable[[int, Callable[[], list[dict[str, Any]]]], None] | None = None

    def __post_init__(self) -> None:
        settings, context = self.settings, context_size(self.learner.engine.model)
        self._training = fitting_problems(self.problems.training, context, settings.reserved)
        self._validation = fitting_problems(self.problems.validation, context) if self._validates else []
        rounds = settings.refill.rounds if settings.refill else 1
        self._order = ProblemOrder(self._training, self.seed, rounds)
        self._collector = Collector(self.generation, self.judging.judge, settings, self.seed)
        self._updater = Updater(self.learner.engine, settings, self.seed, self.learner.batches)
        self._credit = CreditAssigner(self._updater, self.learner, settings)
        self._validator = Validator(
            self.learner, self.generation, self.judging, self._validation, self._credit, settings, self.seed
        )
        self._replay = ReplayBuffer(settings.replay, self.seed, TrainingRow) if settings.replay else None
        self._empty = 0  # iterations in a row without anything to learn from
        self._tokens = 0  # sampled so far

    def train(self, session: TrainingSession, reporter: Reporter) -> None:
        """Run all iterations that `session` has left. Before them, the judges must get known answers
        right.
        """
        settings, sampler = self.settings, self.generation.engine
        self._preflight()
        self._collector.say = reporter.say
        self._report_dropped(reporter)
        tokens_before, started = self._tokens, time.monotonic()
        with session:
            sampler.check_stop = session.check_stop
            if session.done == 0 and self._validates:
                with self._error_context(0):
                    reporter.log(0, **self._validator.validate())
            for iteration in session:
                done = iteration + 1
                with self._error_context(iteration):
                    row = self.run_iteration(iteration)
                    last = done == settings.iterations or self._budget_used() >= 1
                    # from here to the end of the step the weights are no step's start
                    sampler.check_stop = lambda: None
                    if self._validates and (done % settings.validation_every == 0 or last):
                        row |= self._validate(done)
                reporter.log(done, **row)
                sampler.check_stop = session.check_stop
                speed = (self._tokens - tokens_before) / (time.monotonic() - started)
                reporter.progress(
                    done, settings.iterations, reward=row["reward"], length=row["length"], tokens_per_s=speed
                )
                if last:
                    break

    def run_iteration(self, iteration: int) -> dict[str, float]:
        """Sample, assign credit and update once; returns the row of the curve."""
        settings, learner = self.settings, self.learner
        with learner.engine.gathered():
            rollout = self._collector.collect(partial(self._order.draw, iteration), iteration)
        self.generation.engine.release_memory()
        if self.show is not None:
            self.show(iteration + 1, partial(some_samples, rollout, self.generation.tokens))
        factor = self._lr_factor(iteration)
        self._tokens += int(rollout.figures["sampled_tokens"])
        rows, figures = self._credit.assign(rollout)
        for row in rows:
            row.iteration = iteration
        warmup = settings.critic is not None and iteration < settings.critic.warmup
        if warmup or not rows or self._replay is not None:  # the first update shows it else
            figures |= self._updater.sampler_mismatch(rows or rollout.training_rows()[1])
        if self._replay is not None:
            rows, replay_figures = self._replay_rows(self._replay, rows, iteration)
            figures |= replay_figures
        if not rows:
            return rollout.figures | figures | self._empty_iteration()
        self._empty = 0
        if settings.kl.use == "loss":
            self._credit.score_with_reference(rows)
        update_critic = learner.critic.update if learner.critic else None
        updates = self._updater.update(rows, iteration, factor, update_critic, learn=not warmup)
        if learner.reference is not None and settings.reference.rate:
            with learner.engine.gathered() as model:
                learner.reference.ema_update(model)
        rate = {"empty": 0, "lr": settings.optimiser.learning_rate * factor}
        return rollout.figures | figures | rate | updates

    def save(self, folder: Path) -> None:
        """The loop's own state: what is neither weights nor a function of the step."""
        (folder / LOOP).write_text(json.dumps({"empty": self._empty, "tokens": self._tokens}), "utf-8")
        if self._replay is not None:
            torch.save(self._replay.state_dict(), folder / "replay.pt")

    def load(self, folder: Path) -> None:
        """Take back what `save` wrote."""
        state = json.loads((folder / LOOP).read_text("utf-8"))
        self._empty, self._tokens = state["empty"], state["tokens"]
        if self._replay is not None:
            self._replay.load_state_dict(torch.load(folder / "replay.pt", weights_only=True))

    @property
    def _validates(self) -> bool:
        return self.settings.validation_every > 0

    def _preflight(self) -> None:
        self.judging.judge.preflight(self._training)
        if self.judging.checker is not None and not self.judging.exact and self._validation:
            self.judging.checker.preflight(self._validation)

    def _report_dropped(self, reporter: Reporter) -> None:
        kinds = [("problems", self.problems.training, self._training)]
        if self._validates:
            kinds.append(("validation problems", self.problems.validation, self._validation))
        for kind, given, kept in kinds:
            if dropped := len(given) - len(kept):
                reporter.say(
                    f"{dropped} of {len(given)} {kind} leave no room for an answer in the model's context; "
                    f"they are not used"
                )

    @contextmanager
    def _error_context(self, iteration: int) -> Iterator[None]:
        """Say the step, the sample and its dump of what is not finite."""
        try:
            yield
        except NotFinite as error:
            raise error.dump(self.dump_folder, iteration) from None
        except FloatingPointError as error:
            raise FloatingPointError(f"iteration {iteration}: {error}") from error

    def _validate(self, done: int) -> dict[str, float]:
        figures = self._validator.validate()
        if self.best is not None:
            score = figures.get("validation_reward", figures.get("validation_sampled", 0.0))
            self.best.offer([self.learner.engine], done, score)
        return figures

    def _lr_factor(self, iteration: int) -> float:
        """Of the peak learning rate; the schedule follows the iterations or the token budget, whichever is
        further.
        """
        step = max(iteration, self._budget_used() * self.settings.iterations)
        return lr_factor(step, self.settings.iterations, self.settings.schedule)

    def _budget_used(self) -> float:
        """Returns the share of the token budget that has been used; 0 without a budget."""
        return self._tokens / self.settings.token_budget if self.settings.token_budget else 0.0

    def _replay_rows(
        self, buffer: ReplayBuffer[TrainingRow], rows: list[TrainingRow], iteration: int
    ) -> tuple[list[TrainingRow], dict[str, float]]:
        """Store the iteration's rows; returns those to learn from now."""
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
                f"have the same reward. The way out: {LEARN_SOMETHING}"
            )
        return {"empty": self._empty, "updates": 0}
