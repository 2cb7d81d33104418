"""Parameters of policy optimisation against a reward model."""

from __future__ import annotations

from pydantic import Field

from pipelines.training.policy_params import PolicyParams


class PolicyRun(PolicyParams):
    """`ppo_rm.runs.<run>`, laid over `rl.common` and `ppo_rm.common`; dvc.yaml reads `start` and `reward.model` in the run itself."""

    start: str = Field(min_length=1, description="the model that the run starts from: a folder of models/")
