"""Parameters of an evaluation on held-out problems."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipelines.rewards.reward_params import RewardParams
from pipelines.rollouts.rollout_params import SamplingParams


class EvaluateParams(RewardParams):
    """What runs of `evaluate` share: every problem is answered greedily once, and sampled
    `samples` times.
    """

    problems: int = Field(0, ge=0, description="held-out problems that are answered, evenly spread; 0: all")
    samples: int = Field(
        1, ge=1, le=1024, description="sampled answers per problem; their mean accuracy is reported"
    )
    submissions: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 10, 100),
        description="of programs, the k of pass@k and of k@n; those above `samples` are not reported",
    )
    sampling: SamplingParams = Field(SamplingParams(), description="how a token of a sampled answer is drawn")

    @model_validator(mode="after")
    def _sampled(self) -> Self:
        if self.sampling.temperature == 0:
            raise ValueError(
                "sampling.temperature must be above 0: the greedy answers are always given beside the "
                "sampled ones"
            )
        return self
