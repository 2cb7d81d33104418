"""Parameters of group credit."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.settings import Choice


class GroupParams(Choice):
    """GRPO and DAPO; the defaults are those of entropy.md U1."""

    kind: str = "group"
    spread: Literal["population", "sample", "none"] = Field(
        "sample",
        description="divisor of a group's advantages: standard deviation over n, over n - 1, or none",
    )
    epsilon: float = Field(1e-6, ge=0, le=1, description="added to the standard deviation")
