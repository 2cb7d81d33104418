"""What every mask's parameters have."""

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
