"""Parameters of what is measured of preference models: reward reports, assessments of policies, comparisons
of two policies.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.settings import Choice, Seam, Settings


class RewardReportParams(Settings):
    """The section `reward_report`: accuracy, margin and calibration of scores on held-out pairs."""

    bins: int = Field(
        10, ge=1, le=100, description="reliability bins of equal width over confidences from 0.5 to 1"
    )
    min_accuracy: float = Field(
        0.0,
        ge=0,
        le=1,
        description="on held-out pairs; below it the gate is closed, and no policy learns from it",
    )


class DegenerateParams(Settings):
    """What counts as a loop: a run of at most `period` tokens, `repeats` times in a row, `tokens` in all."""

    period: int = Field(8, ge=1, description="tokens of the longest run that is looked for")
    repeats: int = Field(4, ge=2, description="times that it stands in a row")
    tokens: int = Field(12, ge=2, description="tokens that the repetition covers at least")


class AssessParams(Settings):
    """The section `assess.settings`: sampled answers to held-out prompts, scored, and set against the
    reference.
    """

    problems: int = Field(0, ge=0, description="held-out prompts, evenly spread; 0: all")
    samples: int = Field(2, ge=1, le=1024, description="sampled answers per prompt")
    reference_samples: int = Field(
        2, ge=1, le=1024, description="the reference's own answers per prompt, for the 1 % quantile"
    )
    sampling: SamplingParams = Field(
        SamplingParams(), description="how a token is drawn; KL is that of this distribution"
    )
    beta: float = Field(
        0.1, gt=0, description="scale of the implicit reward; changes its calibration, not its accuracy"
    )
    pairs: RewardReportParams = Field(
        RewardReportParams(), description="implicit-reward accuracy on held-out pairs"
    )
    degenerate: DegenerateParams = Field(DegenerateParams(), description="which answers are no answers")
    max_error_share: float = Field(
        0.05, ge=0, le=1, description="the stage stops when more verdicts are errors"
    )

    @model_validator(mode="after")
    def _sampled(self) -> Self:
        if self.sampling.temperature == 0:
            raise ValueError(
                "sampling.temperature must be above 0: a greedy answer says nothing about the policy's "
                "distribution"
            )
        return self


class WinsParams(Settings):
    """The section `wins`: pairs of assessed models compared prompt by prompt by one judge."""

    judge: Annotated[Choice, Seam("pipelines.evaluation.judges", "make(options, context)")] = Field(
        Choice(kind="checker"), description="who says which answer is better: checker, reward_model, prompted"
    )
    prompts: int = Field(
        0, ge=0, description="prompts compared, evenly spread; 0: all that both models answered"
    )
    max_error_share: float = Field(
        0.05, ge=0, le=1, description="the stage stops when more comparisons are errors"
    )
    matches: list[tuple[str, str]] = Field(
        default_factory=list, description="pairs of model names: the first wins, ties or loses"
    )
