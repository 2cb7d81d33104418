"""Parameters of the clipped surrogate."""

from __future__ import annotations

from pydantic import Field

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
