"""Parameters of leave-one-out credit."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.settings import Choice


class LeaveOneOutParams(Choice):
    """RLOO. The default is that of reward_bridge.md 5.2."""

    kind: str = "leave_one_out"
    kl: Literal["inside", "after"] = Field(
        "inside",
        description=(
            "where a KL in the reward enters: in the rewards that are compared, or added after the baseline"
        ),
    )
