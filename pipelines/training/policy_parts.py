"""The parts that a policy trainer is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.corpora.records.record import Record
from pipelines.models.tokenizer import Tokens
from pipelines.rewards.judge import Judge
from pipelines.rollouts.engine import RolloutEngine
from pipelines.training.engine import Engine
from pipelines.training.micro_batches import MicroBatcher
from pipelines.training.reference import AdapterReference, ReferenceModel
from pipelines.training.value_learning import Critic


@dataclass(frozen=True)
class Learner:
    """What learns: the policy's `engine`, and how its rows are cut into micro-batches. `reference` is None
    where no KL is asked for, `critic` where the credit needs no values.
    """

    engine: Engine
    batches: MicroBatcher
    reference: ReferenceModel | AdapterReference | None = None
    critic: Critic | None = None


@dataclass(frozen=True)
class Generation:
    """What samples responses: a rollout engine over the policy's weights, and the model's tokenizer."""

    engine: RolloutEngine
    tokens: Tokens


@dataclass(frozen=True)
class Judging:
    """`judge` gives the rewards; `checker` is the exact one, for validation: the same object where the reward
    is a rule, None where there is none. With several ranks both must give all of them the same verdicts.
    """

    judge: Judge
    checker: Judge | None

    @property
    def exact(self) -> bool:
        """Whether the rewards are the exact checker's verdicts."""
        return self.checker is self.judge


@dataclass(frozen=True)
class ProblemSets:
    """The problems to learn on, and those that validate."""

    training: Sequence[Record]
    validation: Sequence[Record]
