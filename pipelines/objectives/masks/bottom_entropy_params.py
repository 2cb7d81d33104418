"""Parameters of the mask of followed paths."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.objectives.masks.mask_params import MaskParams


class BottomEntropyParams(MaskParams):
    """The reverse experiment of 80/20."""

    kind: str = "bottom_entropy"
    of: Literal["rollout", "current"] = Field(
        "current", description="whose entropies are ranked: the sampling policy's, or the current one's"
    )
    share: float = Field(
        0.8, gt=0, le=1, description="share of a block's tokens with the lowest entropy that carries loss"
    )
