"""Parameters of the policy trainer: one record for every method; a method is a choice at each seam.

The fields of a seam lie with that seam's code and are joined here, so that `rl.<method>.<field>` stays one level deep.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.credit.credit_params import CreditParams
from pipelines.objectives.objective_params import ObjectiveParams
from pipelines.rewards.reward_params import RewardParams
from pipelines.rollouts.rollout_params import RolloutParams
from pipelines.training.optimiser_params import OptimiserParams, ScheduleParams


class PolicyParams(RolloutParams, RewardParams, CreditParams, ObjectiveParams):
    """A section `rl.<method>` of params.yaml."""

    iterations: int = Field(100, ge=1, description="rounds of sampling and updating")
    epochs: int = Field(1, ge=1, le=64, description="passes over an iteration's responses")
    updates_per_epoch: int = Field(2, ge=1, description="optimiser steps a pass is divided into, of equally many responses")
    old_logprobs: Literal["sampler", "trainer"] = Field(
        "sampler", description="the ratio's denominator: as the sampler reported, or computed again by the trainer before the updates"
    )
    zero_signal: Literal["drop", "count"] = Field(
        "drop", description="responses whose advantages are all 0: left out entirely, or counted in the loss's denominator and its KL term"
    )
    validation_every: int = Field(0, ge=0, description="iterations between accuracies on validation problems; 0 never")
    validation_size: int = Field(200, ge=1, description="validation problems that are answered, once greedily and once sampled")
    optimiser: OptimiserParams = Field(OptimiserParams(), description="AdamW")
    schedule: ScheduleParams = Field(ScheduleParams(), description="the learning rate over the iterations")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.sampling.temperature == 0:
            raise ValueError("sampling.temperature 0 gives every response of a prompt alike: nothing to learn from; use a value above 0")
        if self.sampling.top_p < 1 or self.sampling.top_k:
            raise ValueError(
                "sampling.top_p and top_k must be off while training: the loss takes ratios of the full distribution's probabilities, "
                "and a sample from a restricted one makes them wrong; use temperature instead"
            )
        if self.credit == "group" and self.samples < 2:
            raise ValueError(f"credit group compares responses to the same prompt: samples is {self.samples}, at least 2 are needed")
        return self
