"""Parameters of the mask of forking tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.objectives.masks.mask_params import MaskParams


class TopEntropyParams(MaskParams):
    """80/20: the published code ranks entropies of the policy being updated."""

    kind: str = "top_entropy"
    of: Literal["rollout", "current"] = Field(
        "current", description="whose entropies are ranked: the sampling policy's, or the current one's"
    )
    share: float = Field(
        0.2, gt=0, le=1, description="share of a block's tokens with the highest entropy that carries loss"
    )
