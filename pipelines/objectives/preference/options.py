"""Options of the losses of pairs."""

from __future__ import annotations

from pydantic import Field

from pipelines.settings import Choice


class PairLossParams(Choice):
    """`beta` also scales the implicit rewards of the log, beta * log pi/pi_ref."""

    beta: float = Field(
        0.1,
        gt=0,
        le=100,
        description="strength of the KL term that the loss is derived from; larger stays closer",
    )


class CdpoParams(PairLossParams):
    """DPO with label smoothing; without any it is DPO."""

    kind: str = "cdpo"
    smoothing: float = Field(
        0.1, ge=0, lt=0.5, description="probability that a pair's label is the wrong way round"
    )


class DpoParams(PairLossParams):
    """The table of dpo_vs_ppo.md 4.1 has beta 0.1."""

    kind: str = "dpo"


class DpoPositiveParams(PairLossParams):
    """`penalty` is the paper's lambda; it has 50 with a beta of 0.3, and 0 is DPO."""

    kind: str = "dpo_positive"
    penalty: float = Field(
        50.0, ge=0, le=10_000, description="weight of the chosen answer's loss of log-probability"
    )


class IpoParams(PairLossParams):
    """`beta` is the paper's tau: the margin of log-ratios is drawn to 1 / (2 beta) nats."""

    kind: str = "ipo"
