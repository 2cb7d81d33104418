"""Parameters of generalised advantage estimation."""

from __future__ import annotations

from pydantic import Field

from pipelines.settings import Choice


class GaeParams(Choice):
    """PPO's credit; the defaults are those of dpo_vs_ppo.md 5.2."""

    kind: str = "gae"
    gamma: float = Field(1.0, ge=0, le=1, description="discount per token")
    lam: float = Field(
        1.0, ge=0, le=1, description="1: returns minus values; 0: one-step temporal differences"
    )
