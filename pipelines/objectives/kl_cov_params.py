"""Parameters of KL-Cov."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.settings import Choice


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
