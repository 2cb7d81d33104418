"""Options of supervised fine-tuning, and of parts that the training loops share: the optimiser, its schedule,
how long it trains, and the replay buffer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pipelines.models.adapter_params import AdapterParams
from pipelines.settings import Settings


class OptimiserParams(Settings):
    """AdamW, or Muon on the layers' matrices beside it. One-dimensional parameters may have a rate of their
    own and are never decayed.
    """

    kind: Literal["adamw", "muon"] = Field(
        "adamw", description="muon: the layers' matrices by Muon, embeddings, head and vectors by AdamW"
    )
    learning_rate: float = Field(1e-5, gt=0, le=1, description="peak rate of AdamW")
    muon_learning_rate: float = Field(
        0.02, gt=0, le=1, description="peak rate of Muon, in units of an update's spectral norm"
    )
    vector_learning_rate: float | None = Field(
        None, gt=0, le=1, description="peak rate of one-dimensional parameters; null: the same"
    )
    betas: tuple[float, float] = Field(
        (0.9, 0.95), description="decay of the first and second moments, each in [0, 1)"
    )
    epsilon: float = Field(1e-8, gt=0, le=1, description="added to the root of the second moment")
    weight_decay: float = Field(0.0, ge=0, le=1, description="decoupled decay of matrices")
    grad_clip: float = Field(1.0, ge=0, description="largest norm of the whole gradient; 0 is off")
    gradient_checkpointing: bool = Field(
        False, description="recompute activations in the backward pass: less memory, a third more time"
    )

    @model_validator(mode="after")
    def _betas(self) -> Self:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas {list(self.betas)} must lie in [0, 1)")
        return self


class ScheduleParams(Settings):
    """Shares of all steps: a linear warm-up, a flat part, then a decay that reaches `floor` times the peak
    when the last step is done.
    """

    warmup: float = Field(
        0.0, ge=0, lt=1, description="share of the steps in which the rate rises linearly from 0"
    )
    flat_until: float = Field(
        0.0, ge=0, le=1, description="share of the steps after which the decay begins; at least warmup"
    )
    decay: Literal["constant", "linear", "cosine"] = Field("constant", description="shape of the decay")
    floor: float = Field(
        0.0,
        ge=0,
        le=1,
        description=(
            "share of the peak rate that the decay reaches after the last step; the last step itself is one "
            "before it"
        ),
    )


class ReplayParams(Settings):
    """How the segments of a tree are spread over iterations (spo.md 2.4)."""

    rows: int = Field(
        512, ge=1, description="segments trained on per iteration; fewer while the buffer holds fewer"
    )
    per_prompt: int = Field(
        32, ge=1, description="segments of one problem per iteration at most: they are near-duplicates"
    )
    max_age: int = Field(
        8, ge=1, description="iterations a segment may be drawn in, the one that sampled it included"
    )
    official: bool = Field(
        False,
        description=(
            "as the published code: each problem gives up per_prompt segments, those beyond rows are lost, "
            "too few are repeated"
        ),
    )


class LengthParams(Settings):
    """How long a loop over rows trains: by steps or by passes, one pass where nothing is said."""

    steps: int | None = Field(None, ge=1, description="optimiser steps; null: as many as `epochs` takes")
    epochs: float | None = Field(
        None, gt=0, le=1000, description="passes over the rows; null: as many as `steps` takes, or one pass"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_pass(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and value.get("steps") is None and value.get("epochs") is None:
            return {**value, "epochs": 1}
        return value

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give either steps or epochs, and set the other null")
        return self


class SupervisedParams(LengthParams):
    """The `sft` section of params.yaml."""

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
