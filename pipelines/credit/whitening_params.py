"""Parameters of whitening."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.settings import Settings


class WhiteningParams(Settings):
    """Standardisation of advantages over tokens that carry loss."""

    how: Literal["none", "standard", "population", "scale_only"] = Field(
        "none",
        description="nothing; mean 0 and unbiased variance 1 (SPO); the same with the population's "
        "(PPO, REINFORCE++); "
        "division by the unbiased standard deviation alone, which keeps every sign",
    )
    epsilon: float = Field(
        1e-8,
        ge=0,
        le=1,
        description=(
            "added to the variance (standard, scale_only) or the standard deviation (population; PPO uses "
            "1e-5)"
        ),
    )
