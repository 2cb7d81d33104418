"""Options of the reward model as a judge."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.settings import Choice


class RewardModelParams(Choice):
    """It is the model that the policies were trained against, where they were: such a comparison flatters
    them.
    """

    kind: Literal["reward_model"] = "reward_model"
    gap: float = Field(0.0, ge=0, description="rewards that differ by no more tie")
