"""Parameters of policy optimisation: what a run starts from, learns on and is judged by, beside the policy
loop's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from pipelines.rewards.reward_params import JUDGE
from pipelines.training.policy_params import PolicyParams

NONE = "none"


class RlRun(PolicyParams):
    """`rl.runs.<run>`, laid over `rl.methods.<method>`, and that over `rl.common`.

    dvc.yaml makes the stage's inputs of method, start, data and judge, and reads them in the run itself.
    """

    method: str = Field(min_length=1, description="the preset that the run is laid over: a key of rl.methods")
    start: str = Field(min_length=1, description="the model that the run starts from: a folder of models/")
    data: str = Field(min_length=1, description="the questions: a key of the section corpus or rlvr_set")
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
        """A reward whose model a stage made takes it from `judge`, so that it is named once."""
        if not isinstance(value, Mapping) or not _takes_judge(value.get("reward")):
            return value
        reward = value["reward"] if isinstance(value["reward"], Mapping) else {"kind": value["reward"]}
        return {**value, "reward": {"model": value.get("judge", NONE), **reward}}

    @model_validator(mode="after")
    def _one_judge(self) -> Self:
        kind = self.reward.kind
        if not self.reward.model_is_run:
            if self.judge != NONE:
                raise ValueError(
                    f"the reward {kind} asks no model: judge must be none, for a run waits for what it "
                    f"names, not {self.judge}"
                )
        elif self.judge == NONE:
            raise ValueError(f"the reward {kind} asks a model: name in judge the run that made it")
        elif getattr(self.reward, "model", self.judge) != self.judge:
            raise ValueError(
                f"reward.model is {getattr(self.reward, 'model', None)}, judge is {self.judge}: leave "
                f"reward.model out"
            )
        return self


def _takes_judge(reward: Any) -> bool:
    kind = reward.get("kind") if isinstance(reward, Mapping) else reward
    try:
        return isinstance(kind, str) and JUDGE.options(kind).model_is_run
    except ValueError:  # no such reward: said by its own check
        return False
