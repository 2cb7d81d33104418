"""Parameters of the reward: which checker judges, and what happens to answers that it cannot judge."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipelines.settings import Seam, Settings


class RewardParams(Settings):
    """The reward seam. The checker must be the one that the corpus names in tokens.json."""

    reward: Annotated[str, Seam("pipelines.rewards", "check")] = Field("final_answer", description="the checker that judges responses")
    on_error: Literal["exclude", "wrong"] = Field(
        "exclude", description="a verdict that is an error leaves the response out, or counts as a wrong answer"
    )
    max_error_share: float = Field(0.05, ge=0, le=1, description="the stage stops when more verdicts of an iteration are errors")
