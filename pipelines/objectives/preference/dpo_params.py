"""Parameters of DPO."""

from __future__ import annotations

from pipelines.objectives.preference.pair_loss_params import PairLossParams


class DpoParams(PairLossParams):
    """The table of dpo_vs_ppo.md 4.1 has beta 0.1."""

    kind: str = "dpo"
