"""Parameters of policy optimisation, besides those of the policy loop: the start model, the data and the
judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from pipelines.training.policy_params import PolicyParams
from tasks.judge_params import NONE, check_judge, with_judge
from tasks.seed_params import Seeded


class RlRun(Seeded, PolicyParams):
    """`rl.runs.<run>`, laid over `rl.methods.<method>`, `rl.common` and the preset `<method>`.

    dvc.yaml makes inputs of method, start, data and judge, and reads them in the run itself.
    """

    method: str = Field(
        min_length=1, description="the preset that the run is laid over, of presets.yaml or rl.methods"
    )
    start: str = Field(min_length=1, description="the model that the run starts from: a folder of models/")
    data: str = Field(min_length=1, description="the questions: a key of the section corpus")
    judge: str = Field(
        NONE,
        min_length=1,
        description="the run of reward_model or verifier that gives the reward; none: a rule does",
    )
    problems: int | None = Field(
        None, ge=1, description="questions that are learnt on, the first ones by hash; null: all"
    )
    ignore_gate: bool = Field(
        False, description="learn from a judge that failed its gate: for studies of what happens then"
    )

    @model_validator(mode="before")
    @classmethod
    def _judge_is_the_rewards_model(cls, value: Any) -> Any:
        """Returns the values with `judge` as the model of a reward that needs a trained one, so that it is
        named once.
        """
        if not isinstance(value, Mapping) or "reward" not in value:
            return value
        return {**value, "reward": with_judge(value["reward"], value.get("judge", NONE))}

    @model_validator(mode="after")
    def _one_judge(self) -> Self:
        check_judge(self.reward, self.judge)
        return self
