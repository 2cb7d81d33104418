"""Options of the masks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.settings import Choice


class MaskParams(Choice):
    """Options of a mask; a mask without others has just these."""

    kind: str = "everything"
    denominator: Literal["kept", "all"] = Field(
        "kept",
        description=(
            "the loss is divided by the number of kept tokens, or of all response tokens (entropy.md U6)"
        ),
    )
    of: Literal["rollout", "current"] = Field(
        "rollout",
        description=(
            "whose log-probs and entropies decide: the sampling policy's, or the policy's that is being "
            "updated"
        ),
    )


class BottomEntropyParams(MaskParams):
    """The reverse experiment of 80/20."""

    kind: str = "bottom_entropy"
    of: Literal["rollout", "current"] = Field(
        "current", description="whose entropies are ranked: the sampling policy's, or the current one's"
    )
    share: float = Field(
        0.8, gt=0, le=1, description="share of a block's tokens with the lowest entropy that carries loss"
    )


class ProbabilityParams(MaskParams):
    """SPO's mask; its behaviour policy is the rollout's."""

    kind: str = "probability"
    below: float = Field(
        0.9,
        gt=0,
        le=1,
        description="a token carries loss when its probability, at the sampling temperature, is below this",
    )


class TopEntropyParams(MaskParams):
    """80/20: the published code ranks entropies of the policy being updated."""

    kind: str = "top_entropy"
    of: Literal["rollout", "current"] = Field(
        "current", description="whose entropies are ranked: the sampling policy's, or the current one's"
    )
    share: float = Field(
        0.2, gt=0, le=1, description="share of a block's tokens with the highest entropy that carries loss"
    )
