"""Parameters of the policy loss: which tokens carry it, its form, how tokens are averaged, and the pull towards the start model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipelines.settings import Seam, Settings


class ObjectiveParams(Settings):
    """The mask and objective seams of the policy trainer."""

    mask: Annotated[str, Seam("pipelines.objectives.masks", "keep")] = Field("everything", description="which response tokens carry loss")
    objective: Annotated[str, Seam("pipelines.objectives", "policy_loss")] = Field("clip", description="the per-token loss")
    clip_low: float = Field(0.2, ge=0, lt=1, description="the ratio of new to old probability is clipped below at 1 - clip_low")
    clip_high: float = Field(0.28, ge=0, le=10, description="and above at 1 + clip_high")
    aggregation: Literal["token_mean", "seq_mean_token_mean", "seq_mean_token_sum"] = Field(
        "token_mean", description="how per-token losses of an optimiser batch become one number"
    )
    kl_coef: float = Field(0.0, ge=0, le=10, description="weight of the KL to the start model in the loss; 0 keeps no reference model")
    kl_estimator: Literal["k1", "k2", "k3"] = Field("k3", description="per-token estimator of that KL")
    kl_aggregation: Literal["token_mean", "seq_mean_token_mean", "seq_mean_token_sum"] = Field(
        "seq_mean_token_sum", description="how the KL term is averaged; the SPO code sums over tokens and averages over sequences"
    )
