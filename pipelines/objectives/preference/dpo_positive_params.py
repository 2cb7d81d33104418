"""Parameters of DPO-Positive."""

from __future__ import annotations

from pydantic import Field

from pipelines.objectives.preference.pair_loss_params import PairLossParams


class DpoPositiveParams(PairLossParams):
    """`penalty` is the paper's lambda; it has 50 with a beta of 0.3, and 0 is DPO."""

    kind: str = "dpo_positive"
    penalty: float = Field(
        50.0, ge=0, le=10_000, description="weight of the chosen answer's loss of log-probability"
    )
