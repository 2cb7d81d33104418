"""Parameters of Clip-Cov."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from pipelines.objectives.clip_params import ClipParams


class ClipCovParams(ClipParams):
    """The defaults are the release's: a clip range that drops extreme ratios only, and 2e-4 of the tokens."""

    kind: str = "clip_cov"
    low: float = Field(1.0, ge=0, le=1, description="the base loss clips the ratio below at 1 - low")
    high: float = Field(1.0, ge=0, le=10, description="and above at 1 + high")
    share: float = Field(
        2e-4,
        ge=0,
        le=1,
        description="share of a block's tokens that lose their gradient, at least one; 0 gives the base loss",
    )
    least: float = Field(1.0, description="they are drawn among tokens with a covariance above this")
    most: float = Field(5.0, description="and below this")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least >= self.most:
            raise ValueError(
                f"least {self.least} is not below most {self.most}: no covariance lies between them"
            )
        return self
