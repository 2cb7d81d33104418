"""Parameters of the synthetic experiment; the defaults are those of dpo_vs_ppo.md 6.3."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.settings import Settings


class TheoryParams(Settings):
    """A member of the section `dpo_theory`: a bandit of `size` prompts and answers, learnt from pairs that
    leave answers uncovered.
    """

    seeds: int = Field(
        24, ge=2, le=1000, description="worlds, each with its own rewards, coverage and networks"
    )
    policies: list[Literal["network", "table"]] = Field(
        ["network", "table"],
        min_length=1,
        description="what DPO and PPO train: cells share parameters, or have a logit each",
    )
    size: int = Field(
        8, ge=3, le=64, description="prompts, and answers to each; the best answer is the diagonal"
    )
    covered: int = Field(
        4, ge=2, description="answers of each prompt that some pair holds, the best among them"
    )
    distractor: float = Field(
        0.5, ge=0, lt=1, description="true rewards off the diagonal lie between 0 and this; on it 1"
    )
    width: int = Field(
        32, ge=1, le=1024, description="hidden units of policy, reward model and value baseline"
    )
    beta: float = Field(0.1, gt=0, description="strength of the KL term, in DPO, PPO and the closed form")
    learning_rate: float = Field(1e-3, gt=0, description="of Adam, for every network")
    table_learning_rate: float = Field(1e-2, gt=0, description="of Adam, for the tabular policy's logits")
    dpo_steps: int = Field(
        200, ge=1, le=20_000, description="full-batch steps of the DPO policy that is compared"
    )
    sweep: list[int] = Field(
        list(range(100, 1001, 100)), min_length=1, description="steps at which DPO is also looked at"
    )
    reward_steps: int = Field(2000, ge=1, le=100_000, description="full-batch steps of the reward model")
    whiten: bool = Field(
        True,
        description=(
            "whether the reward model's outputs are brought to mean 0 and standard deviation 1 before PPO"
        ),
    )
    ppo_iterations: int = Field(400, ge=1, le=20_000, description="PPO iterations")
    ppo_samples: int = Field(
        512, ge=8, description="sampled answers of an iteration, prompts drawn uniformly"
    )
    ppo_updates: int = Field(4, ge=1, description="mini-batches of an iteration, an update each")
    clip: float = Field(0.2, gt=0, lt=1, description="of the probability ratio")
    raised: float = Field(
        0.02, gt=0, lt=1, description="an uncovered cell is raised when its probability grew by more"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.covered >= self.size:
            raise ValueError(
                f"covered is {self.covered} of {self.size} answers; some answer must stay uncovered"
            )
        if self.ppo_samples % self.ppo_updates:
            raise ValueError(
                f"ppo_samples {self.ppo_samples} do not divide into {self.ppo_updates} mini-batches"
            )
        if any(step < 1 for step in self.sweep) or sorted(set(self.sweep)) != self.sweep:
            raise ValueError(f"sweep {self.sweep} must be increasing step counts from 1 on")
        return self
