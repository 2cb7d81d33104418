"""Parameters of the policy loop: one record for every method; a method is a choice at each seam.

A seam's options lie with that seam's code, in `<kind>_params.py`; what belongs to the loop itself is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pipelines.credit.options import ShapingParams, WhiteningParams
from pipelines.models.adapter_params import AdapterParams
from pipelines.objectives.aggregation import Aggregation
from pipelines.objectives.masks.options import MaskParams
from pipelines.rewards.reward_params import JudgeParams
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.settings import Choice, Seam, Settings
from pipelines.training.options import OptimiserParams, ReplayParams, ScheduleParams

SAMPLER = Seam("pipelines.rollouts.samplers", "grow(engine, prompts, settings, sampling)")
CREDIT = Seam("pipelines.credit", "assign(experience, settings)")
MASK = Seam("pipelines.objectives.masks", "keep(logprobs, entropy, settings)", MaskParams)
OBJECTIVE = Seam(
    "pipelines.objectives", "policy_loss(logprobs, old_logprobs, advantages, selected, settings)"
)


class KlParams(Settings):
    """The pull towards the reference model."""

    use: Literal["none", "loss", "reward"] = Field(
        "none", description="a term of the loss, a reward of each token without gradient, or none"
    )
    coef: float = Field(0.0, ge=0, le=10, description="its weight")
    estimator: Literal["k1", "k2", "k3"] = Field(
        default_factory=lambda given: "k1" if given.get("use") == "reward" else "k3",
        description=(
            "per-token estimator of KL(policy || reference); by default k1 in the reward, k3 in the loss"
        ),
    )
    aggregation: Aggregation = Field(
        "seq_mean_token_sum",
        description="of the loss term; the SPO code sums over tokens and averages over sequences",
    )


class ReferenceParams(Settings):
    """The reference model: the start model, frozen or following the policy."""

    rate: float = Field(
        0.0,
        ge=0,
        le=1,
        description="after each iteration: reference <- rate * policy + (1 - rate) * reference; 0 is frozen",
    )


class PolicyOptimiser(OptimiserParams):
    """The rate of spo.md 7 and entropy.md 1.7, for models of billions of parameters."""

    learning_rate: float = Field(1e-6, gt=0, le=1, description="peak rate of AdamW")


class CriticOptimiser(OptimiserParams):
    """The rate of dpo_vs_ppo.md 5.2."""

    learning_rate: float = Field(5e-6, gt=0, le=1, description="peak rate of AdamW")


class CriticParams(Settings):
    """The value model of GAE: a copy of the start model with a scalar head and an optimiser of its own."""

    init: Literal["policy", "reward_model"] = Field(
        "policy",
        description=(
            "start from the policy with a head of zeros, or from the reward model with its head "
            "(dpo_vs_ppo.md 3.1)"
        ),
    )
    optimiser: CriticOptimiser = Field(CriticOptimiser(), description="of the critic")
    clip: float | None = Field(
        0.2,
        gt=0,
        description="a new value may differ from the old one by this much before its loss is the larger one",
    )
    normalise: bool = Field(
        True, description="targets in units of the running mean and standard deviation of returns"
    )
    decay: float = Field(0.99995, ge=0, lt=1, description="of those running statistics, debiased")
    warmup: int = Field(0, ge=0, description="first iterations that train the critic alone")


class RefillParams(Settings):
    """Dynamic sampling: prompts whose responses are all right or all wrong are replaced by others (entropy.md
    1.4).
    """

    prompts: int = Field(64, ge=1, description="prompts sampled in each further round")
    rounds: int | None = Field(
        10, ge=1, description="rounds at most, the first included; null: as many as it takes"
    )
    max_tokens: int | None = Field(
        None, ge=1, description="no further round begins once an iteration has sampled this many tokens"
    )
    exhausted: Literal["go_on", "stop"] = Field(
        "go_on", description="with fewer prompts than wanted when rounds or tokens run out"
    )


class LoopParams(JudgeParams):
    """The fields of `PolicyParams`; what may not go together is refused there."""

    # sampler and reward
    sampler: Annotated[Choice, SAMPLER] = Field(
        default_factory=partial(SAMPLER.choose, "flat"), description="how responses are grown"
    )
    prompts: int = Field(64, ge=1, description="prompts per iteration")
    sampling: SamplingParams = Field(SamplingParams(), description="how a token is drawn while training")
    shaping: ShapingParams = Field(
        ShapingParams(), description="what is made of a verdict's score before credit is assigned"
    )
    refill: RefillParams | None = Field(None, description="dynamic sampling; null keeps every prompt")
    # credit
    credit: Annotated[Choice, CREDIT] = Field(
        default_factory=partial(CREDIT.choose, "group"), description="how rewards become advantages"
    )
    critic: CriticParams | None = Field(None, description="the value model; gae needs one")
    whitening: WhiteningParams = Field(WhiteningParams(), description="standardise advantages")
    whitened_over: Literal["rollout", "update"] = Field(
        "update",
        description=(
            "all response tokens of an iteration before it is divided, or the loss-carrying ones of an "
            "optimiser batch"
        ),
    )
    replay: ReplayParams | None = Field(
        None, description="spread a tree's segments over later iterations; null trains on all of them at once"
    )
    # mask and objective
    mask: Annotated[MaskParams, MASK] = Field(
        default_factory=partial(MASK.choose, "everything"), description="which tokens carry loss"
    )
    objective: Annotated[Choice, OBJECTIVE] = Field(
        default_factory=partial(OBJECTIVE.choose, "clip"), description="the per-token loss"
    )
    aggregation: Aggregation = Field(
        "token_mean", description="how per-token losses of an optimiser batch become one number"
    )
    block: int = Field(
        0,
        ge=0,
        description="sequences over which thresholds, covariances, whitening and denominators are taken; "
        "0: the whole "
        "optimiser batch. "
        "The published code of SPO, 80/20 and Clip-Cov takes its micro-batches",
    )
    kl: KlParams = Field(KlParams(), description="the pull towards the reference model")
    reference: ReferenceParams = Field(
        ReferenceParams(), description="frozen, or an average of the policy's past"
    )
    max_mean_ratio: float | None = Field(
        None, gt=1, description="an update whose mean ratio is above this is not made (10 in SPO, 5 in PPO)"
    )
    # the loop
    iterations: int = Field(100, ge=1, description="rounds of sampling and updating")
    token_budget: int | None = Field(
        None,
        ge=1,
        description=(
            "the run ends, and its schedule is through, once it has sampled this many tokens; null: after "
            "all iterations"
        ),
    )
    epochs: int = Field(1, ge=1, le=64, description="passes over an iteration's responses")
    updates_per_epoch: int = Field(
        2,
        ge=1,
        description=(
            "optimiser steps a pass is divided into, of equally many sequences: responses, or segments of a "
            "tree"
        ),
    )
    old_logprobs: Literal["sampler", "trainer"] = Field(
        "sampler",
        description=(
            "the ratio's denominator: as the sampler reported, or computed again by the trainer before the "
            "updates"
        ),
    )
    zero_signal: Literal["drop", "count"] = Field(
        "drop",
        description=(
            "responses whose advantages are all 0: left out entirely, or counted in the loss's denominator "
            "and its KL term"
        ),
    )
    adapter: AdapterParams | None = Field(
        None, description="train low-rank adapters instead of all weights; they are merged at the end"
    )
    filter_truncated: bool = Field(
        False,
        description=(
            "responses that were cut carry no loss, though their rewards count in their group (DAPO's "
            "overlong filtering)"
        ),
    )
    max_empty: int = Field(
        10, ge=1, description="iterations in a row without anything to learn from before the stage stops"
    )
    validation_every: int = Field(
        0, ge=0, description="iterations between accuracies on validation problems; 0 never"
    )
    keep: Literal["last", "best"] = Field(
        "last",
        description=(
            "the weights of the last iteration, or of the validation whose sampled answers got the best mean "
            "reward"
        ),
    )
    validation_size: int = Field(
        200, ge=1, description="validation problems that are answered, once greedily and once sampled"
    )
    optimiser: PolicyOptimiser = Field(PolicyOptimiser(), description="AdamW")
    schedule: ScheduleParams = Field(ScheduleParams(), description="the learning rate over the iterations")

    @model_validator(mode="before")
    @classmethod
    def _options_of_usual_choices(cls, value: Any) -> Any:
        """`objective: {high: 0.28}` is of the kind that stands there by default."""
        if not isinstance(value, Mapping):
            return value
        factories = {name: field.default_factory for name, field in cls.model_fields.items()}
        usual = {name: made.args[0] for name, made in factories.items() if isinstance(made, partial)}
        return {
            key: {"kind": usual[key], **item} if key in usual and isinstance(item, Mapping) else item
            for key, item in value.items()
        }

    @property
    def most_sequences(self) -> int:
        """Sequences of one prompt that the sampler asks for at once at most."""
        most = getattr(self.sampler, "most", None)
        return int(most(self.sampling.max_new_tokens)) if most else max(1, self.responses)

    @property
    def cuts_by_probability(self) -> bool:
        """Whether responses were cut where the sampler was not sure."""
        return getattr(self.sampler, "partition", None) == "cutpoint"

    @property
    def forest(self) -> str:
        """What the sampler grows: flat (whole, independent responses), or segments as a credit wants them."""
        return SAMPLER.constant(self.sampler.kind, "FOREST", "flat")

    @property
    def responses(self) -> int:
        """Responses per prompt at most, which credit can compare."""
        return int(getattr(self.sampler, "responses", 1))

    @property
    def reserved(self) -> int:
        """Tokens of a response that the sampler takes for itself, beside those of the last segment."""
        return int(getattr(self.sampler, "reserved", 0))

    @property
    def needs_reference(self) -> bool:
        """Whether the loss or the reward needs a reference model."""
        return self.kl.use != "none" and self.kl.coef > 0
