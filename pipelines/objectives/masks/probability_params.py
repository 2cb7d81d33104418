"""Parameters of the probability mask."""

from __future__ import annotations

from pydantic import Field

from pipelines.objectives.masks.mask_params import MaskParams


class ProbabilityParams(MaskParams):
    """SPO's mask; its behaviour policy is the rollout's."""

    kind: str = "probability"
    below: float = Field(
        0.9,
        gt=0,
        le=1,
        description="a token carries loss when its probability, at the sampling temperature, is below this",
    )
