"""Parameters of the evaluation on a multi-subject set."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipelines.rewards.reward_params import JUDGE
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.settings import Choice, Settings


class RlvrModel(Settings):
    """`rlvr_evaluate.models.<model>`."""

    set: str = Field(
        min_length=1, description="a key of the section rlvr_set: its held-out questions are answered"
    )


class RlvrEvaluateParams(Settings):
    """`rlvr_evaluate.settings`."""

    grader: Annotated[Choice, JUDGE] = Field(
        description=(
            "judges the answers: the set's exact checker, or, for sets without one, a model that no policy "
            "learnt from"
        )
    )
    max_error_share: float = Field(
        0.05, ge=0, le=1, description="the stage stops when more verdicts are errors"
    )
    problems: int = Field(0, ge=0, description="held-out questions that are answered, evenly spread; 0: all")
    samples: int = Field(1, ge=1, le=1024, description="sampled answers to each, beside one greedy answer")
    sampling: SamplingParams = Field(SamplingParams(), description="how a token of a sampled answer is drawn")
