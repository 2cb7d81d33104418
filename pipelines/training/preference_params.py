"""Parameters of learning from pairs: the policy (DPO and its like) and the models that score answers (reward,
cost).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.models.adapter_params import AdapterParams
from pipelines.objectives.preference.options import DpoParams, PairLossParams
from pipelines.settings import Seam
from pipelines.training.options import LengthParams, OptimiserParams, ScheduleParams

PAIR_LOSS = Seam(
    "pipelines.objectives.preference",
    "pair_loss(policy_chosen, policy_rejected, reference_chosen, reference_rejected, options)",
)


class PreferenceOptimiser(OptimiserParams):
    """AdamW as dpo_vs_ppo.md 4.1 has it."""

    learning_rate: float = Field(1e-6, gt=0, le=1, description="peak rate of AdamW")
    epsilon: float = Field(1e-5, gt=0, le=1, description="added to the root of the second moment")
    weight_decay: float = Field(0.05, ge=0, le=1, description="decoupled decay of matrices")


class ScoreOptimiser(PreferenceOptimiser):
    """The same with the rate of dpo_vs_ppo.md 3.1."""

    learning_rate: float = Field(1e-5, gt=0, le=1, description="peak rate of AdamW")


class PreferenceSchedule(ScheduleParams):
    """2% warm-up, then cosine to 0 (dpo_vs_ppo.md 4.1)."""

    warmup: float = Field(
        0.02, ge=0, lt=1, description="share of the steps in which the rate rises linearly from 0"
    )
    decay: Literal["constant", "linear", "cosine"] = Field("cosine", description="shape of the decay")


class PairLoopParams(LengthParams):
    """What every loop over pairs has."""

    batch_size: int = Field(64, ge=1, description="pairs per step")
    max_tokens: int = Field(
        1024, ge=2, description="pairs with a longer answer (prompt included) are left out and counted"
    )
    validation_every: int = Field(0, ge=0, description="steps between figures on validation pairs; 0 never")
    validation_size: int = Field(1000, ge=1, description="validation pairs that are looked at")
    adapter: AdapterParams | None = Field(None, description="train low-rank adapters instead of all weights")
    schedule: PreferenceSchedule = Field(PreferenceSchedule(), description="the learning rate over the steps")


class PairTrainParams(PairLoopParams):
    """Direct preference optimisation: the `dpo` sections of params.yaml."""

    loss: Annotated[PairLossParams, PAIR_LOSS] = Field(
        DpoParams(), description="a module of pipelines/objectives/preference"
    )
    optimiser: PreferenceOptimiser = Field(PreferenceOptimiser(), description="AdamW")


class RankingParams(PairLoopParams):
    """Models that score answers: the `reward_model` section of params.yaml."""

    members: int = Field(
        1, ge=1, le=64, description="models of the ensemble, each with a head and a data order of its own"
    )
    weights: Literal["prompt", "pair"] = Field(
        "prompt",
        description=(
            "prompt: a pair of a prompt with g pairs counts 1/g (dpo_vs_ppo.md 3.1); pair: all count the same"
        ),
    )
    keep: Literal["best", "last"] = Field(
        "best", description="the weights of the step with the best held-out accuracy, or the last ones"
    )
    validation_every: int = Field(25, ge=0, description="steps between figures on validation pairs; 0 never")
    optimiser: ScoreOptimiser = Field(ScoreOptimiser(), description="AdamW")

    @model_validator(mode="after")
    def _can_keep(self) -> Self:
        if self.keep == "best" and not self.validation_every:
            raise ValueError("keep: best needs validation_every above 0; set it, or keep: last")
        return self
