"""Constructors of a policy trainer's parts, from a stage's settings and models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.models import adapters, critic
from pipelines.models.liger import use_liger
from pipelines.models.packing import can_share
from pipelines.models.placement import Placement
from pipelines.models.tokenizer import Tokens
from pipelines.rewards.judge import Judge
from pipelines.training.engine import Engine
from pipelines.training.engines import make_engine
from pipelines.training.micro_batches import MicroBatcher
from pipelines.training.options import OptimiserParams
from pipelines.training.policy_params import PolicyParams
from pipelines.training.policy_parts import Generation, Learner
from pipelines.training.ranks import Ranks
from pipelines.training.reference import AdapterReference, ReferenceModel
from pipelines.training.sharded_rollouts import ShardedEngine
from pipelines.training.value_learning import Critic
from tasks.execution_params import ExecutionParams
from tasks.sampler import make_sampler
from tasks.stage import Stage


@dataclass(frozen=True)
class RunContext:
    """What every part of the trainer is made with."""

    stage: Stage
    settings: PolicyParams
    placement: Placement
    ranks: Ranks

    @property
    def execution(self) -> ExecutionParams:
        return self.stage.execution

    @property
    def has_reference(self) -> bool:
        """Whether there is a reference model: for the loss or the reward, or for the KL that validation
        logs.
        """
        return self.settings.needs_reference or self.settings.validation_every > 0

    def engine(self, model: Any, optimiser: OptimiserParams) -> Engine:
        """Returns an engine that trains `model` on the run's ranks."""
        execution = self.execution
        return make_engine(
            model, optimiser, self.placement, self.ranks, execution.zero_stage, execution.offload
        )


def make_learner(run: RunContext, model: Any, judge: Judge) -> Learner:
    """Returns the learner. Critic and reference are copied from the start model before adapters are added;
    its kernels are replaced last.
    """
    settings = run.settings
    batches = MicroBatcher(run.execution.micro_batch_tokens, run.ranks, can_share(model))
    value_model = make_critic(run, model, judge, batches)
    reference: ReferenceModel | AdapterReference | None = None
    if run.has_reference and not settings.adapter:
        reference = ReferenceModel(model, run.placement, settings.reference.rate)
    if settings.adapter:
        adapters.add(model, settings.adapter, run.stage.seed)
    if run.execution.liger:
        use_liger(model, run.placement)
    engine = run.engine(model, settings.optimiser)
    if run.has_reference and settings.adapter:
        reference = AdapterReference(engine)
    return Learner(engine, batches, reference, value_model)


def make_critic(run: RunContext, model: Any, judge: Judge, batches: MicroBatcher) -> Critic | None:
    """Returns the value model, or None where the credit needs none."""
    settings = run.settings.critic
    if settings is None:
        return None
    if settings.init != "policy" and getattr(judge, "reader", None) is not None:
        raise ValueError(
            f"critic.init: {settings.init} needs a reward model of the policy's own tokenizer, for a critic "
            "reads the policy's ids; set critic.init: policy"
        )
    start = critic.make(model if settings.init == "policy" else judge.model)
    return Critic(run.engine(start, settings.optimiser), settings, batches)


def make_generation(run: RunContext, model: Any, tokens: Tokens) -> Generation:
    """Returns the sampler of the execution settings for `model`, sharded over several ranks."""
    engine: Any = make_sampler(model, tokens, run.placement, run.execution)
    if run.ranks.size > 1:
        engine = ShardedEngine(engine, run.ranks)
    return Generation(engine, tokens)
