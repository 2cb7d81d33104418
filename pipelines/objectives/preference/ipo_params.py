"""Parameters of IPO."""

from __future__ import annotations

from pipelines.objectives.preference.pair_loss_params import PairLossParams


class IpoParams(PairLossParams):
    """`beta` is the paper's tau: the margin of log-ratios is drawn to 1 / (2 beta) nats."""

    kind: str = "ipo"
