"""Parameters of the judgements that verifiers are trained on: from an exploring policy with a teacher, or
from published solutions with labels.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.settings import Settings
from pipelines.training.policy_params import PolicyParams


class ExploreSource(Settings):
    """A policy is trained on a teacher's verdicts, and every verdict is kept (reward_bridge.md 4.1)."""

    kind: Literal["explore"]
    policy: PolicyParams = Field(
        description="the run; its reward is the teacher. Written out in full: nothing is laid below it"
    )
    calib_samples: int = Field(
        2,
        ge=1,
        description="responses to each calibration question, of the policy before the run and again after it",
    )
    heldout_samples: int = Field(4, ge=1, description="the same for held-out questions")
    variants: int = Field(
        0,
        ge=0,
        description=(
            "for each question as many right and as many wrong variants of its answer, of which the set has "
            "some, judged as well"
        ),
    )


class PublishedSource(Settings):
    """Published model solutions with exact labels; the reference is the last sentence of the question's
    worked solution (reward_bridge.md 7.1).
    """

    kind: Literal["published"]
    layout: Literal["gsm8k"] = Field(
        "gsm8k", description="rows of question, ground_truth and one {solution, is_correct} per model"
    )
    calib_share: float = Field(0.15, gt=0, lt=1, description="of the questions")
    heldout_share: float = Field(0.25, gt=0, lt=1, description="of the questions")
    max_bad_rows: float = Field(
        0.01, ge=0, lt=1, description="share of the rows that may be bad; above it the stage fails"
    )

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.calib_share + self.heldout_share >= 1:
            raise ValueError(
                "calib_share + heldout_share must stay below 1: nothing would be left to learn from"
            )
        return self


class JudgementsParams(Settings):
    """One member of the section `judgements`: a set of judgements."""

    data: str = Field(min_length=1, description="the multi-subject set whose questions are judged")
    origin: str = Field(
        min_length=1,
        description="the model that explores (models/<name>/model), or the file of published solutions",
    )
    source: Annotated[
        ExploreSource | PublishedSource,
        Field(discriminator="kind", description="judged on the way by a teacher, or published with labels"),
    ]

    @model_validator(mode="after")
    def _a_model_explores(self) -> Self:
        parts = self.origin.split("/")
        if isinstance(self.source, ExploreSource) and not (
            len(parts) == 3 and parts[0] == "models" and parts[2] == "model"
        ):
            raise ValueError(
                f"origin {self.origin!r} is not a model; a policy explores from models/<name>/model"
            )
        return self
