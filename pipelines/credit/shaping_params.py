"""Parameters of reward shaping: what happens to a verdict's score before credit is assigned."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.settings import Settings


class OverlongParams(Settings):
    """DAPO's soft punishment of long responses; the paper has limit 20480 and cache 4096."""

    limit: int = Field(ge=1, description="response tokens at which the whole punishment of -1 is reached")
    cache: int = Field(ge=1, description="tokens below the limit over which it grows from 0")

    @model_validator(mode="after")
    def _inside(self) -> Self:
        if self.cache > self.limit:
            raise ValueError(f"overlong.cache {self.cache} is larger than overlong.limit {self.limit}")
        return self


class ShapingParams(Settings):
    """Applied in the order of the fields; the defaults change nothing."""

    wrong_score: float | None = Field(
        None, description="score of a wrong verdict instead of the checker's, such as -1; null keeps it"
    )
    bias: float = Field(0.0, description="subtracted from every score")
    scale: float = Field(1.0, description="then multiplied with it, such as 10 for code (dpo_vs_ppo.md 3.2)")
    overlong: OverlongParams | None = Field(
        None, description="soft punishment of long responses, added; null for none"
    )
    clip: float | None = Field(
        None,
        gt=0,
        description="largest magnitude of the sum, such as 20 (dpo_vs_ppo.md 3.3); null for no limit",
    )
    normalise: Literal["none", "batch", "group"] = Field(
        "none", description="z-score over all responses of the iteration, over those to each prompt, or not"
    )
    min_std: float = Field(
        1e-6,
        ge=1e-6,
        description=(
            "a population standard deviation below this gives zeros; .02 suits soft rewards in groups"
        ),
    )
