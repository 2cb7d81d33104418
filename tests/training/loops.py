"""A policy loop on the tiny corpus in this process, with everything in reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.corpora.records.record import Record
from pipelines.models import critic
from pipelines.models.tokenizer import Tokens
from pipelines.rewards.judge import Judge, RuleJudge
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.seams import load
from pipelines.settings import laid_over
from pipelines.training.best import BestWeights
from pipelines.training.checkpoints import CheckpointParts, Checkpoints
from pipelines.training.engine import TorchEngine
from pipelines.training.micro_batches import MicroBatcher
from pipelines.training.policy import PolicyTrainer
from pipelines.training.policy_params import PolicyParams
from pipelines.training.policy_parts import Generation, Judging, Learner, ProblemSets
from pipelines.training.ranks import Ranks
from pipelines.training.reference import ReferenceModel
from pipelines.training.session import TrainingSession
from pipelines.training.value_learning import Critic
from tests.tiny import CPU, make_records
from tests.training.stages import COMMON, make_half_able_model


@dataclass
class Notes:
    """A reporter that remembers."""

    rows: list[dict[str, float]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def log(self, step: int, **metrics: float) -> None:
        self.rows.append({"step": step, **metrics})

    def truncate_curve(self, step: int) -> None:
        self.rows = [row for row in self.rows if row["step"] < step]

    def progress(self, done: int, total: int, **figures: float) -> None:
        pass

    def say(self, text: str) -> None:
        self.said.append(text)


class Loop:
    """`settings` are laid over COMMON without validation. The model answers about half of the problems unless
    another one is given. Without a judge it is the rule that the settings name, which then validates too.
    """

    def __init__(
        self,
        folder: Path,
        tokens: Tokens,
        settings: dict[str, Any],
        model: Any = None,
        problems: list[Record] | None = None,
        validation: list[Record] | None = None,
        seed: int = 0,
        budget: int = 10_000,
        sample_batch: int = 1024,
        judge: Judge | None = None,
        checker: Judge | None = None,
    ) -> None:
        self.settings = PolicyParams.model_validate(
            laid_over(laid_over(COMMON, {"validation_every": 0, "iterations": 2}), settings)
        )
        self.model = make_half_able_model(tokens) if model is None else model
        self.folder, self.notes = folder, Notes()
        batches = MicroBatcher(budget, Ranks.single())
        needs_reference = self.settings.needs_reference or self.settings.validation_every
        self.reference = (
            ReferenceModel(self.model, CPU, self.settings.reference.rate) if needs_reference else None
        )
        self.critic = None
        if self.settings.critic is not None:
            self.critic = Critic(
                TorchEngine(critic.make(self.model), self.settings.critic.optimiser, CPU),
                self.settings.critic,
                batches,
            )
        self.engine = TorchEngine(self.model, self.settings.optimiser, CPU)
        if judge is None:
            judge = checker = RuleJudge(load("pipelines.rewards", self.settings.reward.kind))
        problems = make_records(tokens, 40) if problems is None else problems
        self.trainer = PolicyTrainer(
            self.settings,
            seed,
            Learner(self.engine, batches, self.reference, self.critic),
            Generation(LocalEngine(self.model, tokens, CPU, sample_batch), tokens),
            Judging(judge, checker),
            ProblemSets(problems, problems if validation is None else validation),
            folder / "dump",
            BestWeights() if self.settings.keep == "best" else None,
        )

    def run(self) -> list[dict[str, float]]:
        """The rows of the curve that this run wrote."""
        state = CheckpointParts(
            policy=self.engine, critic=self.critic, reference=self.reference, loop=self.trainer
        )
        checkpoints = Checkpoints(self.folder / "checkpoints", 0, self.notes.say)
        self.trainer.train(
            TrainingSession(state, checkpoints, self.notes, self.settings.iterations), self.notes
        )
        return self.notes.rows

    def weights(self) -> list[Any]:
        return [parameter.detach().clone() for parameter in self.model.parameters()]
