"""Parameters of supervised fine-tuning."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.models.adapter_params import AdapterParams
from pipelines.settings import Settings
from pipelines.training.optimiser_params import OptimiserParams, ScheduleParams


class SupervisedParams(Settings):
    """The `sft` section of params.yaml."""

    steps: int | None = Field(None, ge=1, description="optimiser steps; null: as many as `epochs` takes")
    epochs: float | None = Field(
        None, gt=0, le=1000, description="passes over the demonstrations; null: as many as `steps` takes"
    )
    batch_size: int = Field(64, ge=1, description="demonstrations per step")
    max_tokens: int = Field(
        2048, ge=2, description="longer demonstrations (prompt and response) are left out and counted"
    )
    aggregation: Literal["token_mean", "seq_mean_token_mean"] = Field(
        "token_mean", description="how per-token losses of a batch become one number"
    )
    validation_every: int = Field(
        0, ge=0, description="steps between losses on validation demonstrations; 0 never"
    )
    validation_size: int = Field(200, ge=1, description="validation demonstrations that are looked at")
    adapter: AdapterParams | None = Field(None, description="train low-rank adapters instead of all weights")
    optimiser: OptimiserParams = Field(OptimiserParams(), description="AdamW")
    schedule: ScheduleParams = Field(ScheduleParams(), description="the learning rate over the steps")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs, and set the other null")
        return self
