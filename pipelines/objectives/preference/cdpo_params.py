"""Parameters of conservative DPO."""

from __future__ import annotations

from pydantic import Field

from pipelines.objectives.preference.pair_loss_params import PairLossParams


class CdpoParams(PairLossParams):
    """DPO with label smoothing; without any it is DPO."""

    kind: str = "cdpo"
    smoothing: float = Field(
        0.1, ge=0, lt=0.5, description="probability that a pair's label is the wrong way round"
    )
