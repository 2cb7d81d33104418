"""Parameters of the reward model as a judge."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pipelines.settings import Choice


class RewardModelParams(Choice):
    """score <- clip((R - bias) * scale, +-clip), R the model's output at the last token (dpo_vs_ppo.md
    3.3).
    """

    model_is_run: ClassVar[bool] = True
    kind: Literal["reward_model"] = "reward_model"
    model: str = Field(
        "reward_model",
        min_length=1,
        description="the folder of models/ that holds it; a dependency of the stage",
    )
    bias: float = Field(0.0, description="subtracted from the model's output")
    scale: float = Field(1.0, gt=0, description="then multiplied with it")
    clip: float = Field(20.0, gt=0, description="largest magnitude of the score")
    threshold: float = Field(
        0.0,
        description="a score above it counts as right in the figures (accuracy, all_right, …) and for "
        "shaping.wrong_score "
        "and refill. A "
        "Bradley-Terry model is defined up to a constant: set bias so that 0 divides, such as its mean over "
        "chosen and rejected answers",
    )
