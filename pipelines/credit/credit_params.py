"""Parameters of credit assignment: how rewards of whole responses become advantages of tokens."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipelines.settings import Seam, Settings


class CreditParams(Settings):
    """The credit seam of the policy trainer."""

    credit: Annotated[str, Seam("pipelines.credit", "assign")] = Field("group", description="how rewards become advantages")
    spread: Literal["population", "sample", "none"] = Field(
        "sample", description="divisor of a group's advantages: standard deviation over n, over n - 1, or none"
    )
    spread_epsilon: float = Field(1e-6, ge=0, le=1, description="added to the standard deviation")
    whiten: bool = Field(False, description="standardise advantages over the loss-carrying tokens of an optimiser batch")
