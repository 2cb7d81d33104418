"""Options of the objectives."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.settings import Choice


class ClipParams(Choice):
    """PPO and GRPO have .2 and .2, DAPO .2 and .28."""

    kind: str = "clip"
    low: float = Field(
        0.2, ge=0, le=1, description="the ratio of new to old probability is clipped below at 1 - low"
    )
    high: float = Field(0.2, ge=0, le=10, description="and above at 1 + high")
    dual: float | None = Field(
        None,
        gt=1,
        description=(
            "limit of the ratio where the advantage is negative, such as 10; null for none (entropy.md U2)"
        ),
    )


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


class KlCovParams(Choice):
    """The defaults are the release's for a 7B model (2e-4 for 32B); shares are fractions, where its scripts
    say percent.
    """

    kind: str = "kl_cov"
    share: float = Field(
        2e-3,
        ge=0,
        le=1,
        description="share of a block's tokens, of highest covariance, that are pulled back, at least one",
    )
    coef: float = Field(1.0, ge=0, le=100, description="weight of their penalty; 0 gives the base loss")
    estimator: Literal["abs", "k2", "k3"] = Field(
        "abs", description="the penalty: |log ratio|, its square / 2, or ratio - 1 - log ratio"
    )
    base_clip: bool = Field(
        False, description="clip the ratio as in PPO; the release does not (entropy.md U16)"
    )
    low: float = Field(0.2, ge=0, le=1, description="with base_clip, the ratio is clipped below at 1 - low")
    high: float = Field(0.2, ge=0, le=10, description="and above at 1 + high")
