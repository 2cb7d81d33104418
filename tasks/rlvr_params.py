"""Parameters of RL against rules and verifiers on a multi-subject set."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipelines.rewards.reward_params import JUDGE
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.settings import Choice, Settings
from pipelines.training.policy_params import PolicyParams


class RlvrRun(PolicyParams):
    """`rlvr.runs.<run>`, laid over `rl.common` and `rlvr.common`; dvc.yaml reads start, set and verifier in the run itself.

    Arms with a rule name a verifier too: all arms are one comparison, and run behind its report.
    """

    start: str = Field(min_length=1, description="the model that the run starts from: a folder of models/")
    set: str = Field(min_length=1, description="a key of the section rlvr_set")
    verifier: str = Field(min_length=1, description="a run of verifier.runs: the reward's model where that is a verifier")
    problems: int | None = Field(None, ge=1, description="RL questions used, the first ones by hash; null: all")
    ignore_gate: bool = Field(False, description="learn from a verifier that failed its gate: for studies of what happens then")

    @model_validator(mode="after")
    def _one_verifier(self) -> Self:
        model = getattr(self.reward, "model", self.verifier)
        if self.reward.kind == "verifier" and model != self.verifier:
            raise ValueError(f"reward.model is {model}, verifier is {self.verifier}: name one verifier in both")
        return self


class RlvrModel(Settings):
    """`rlvr_evaluate.models.<model>`."""

    set: str = Field(min_length=1, description="a key of the section rlvr_set: its held-out questions are answered")


class RlvrEvaluateParams(Settings):
    """`rlvr_evaluate.settings`."""

    grader: Annotated[Choice, JUDGE] = Field(
        description="judges the answers: the set's exact checker, or, for sets without one, a model that no policy learnt from"
    )
    max_error_share: float = Field(0.05, ge=0, le=1, description="the stage stops when more verdicts are errors")
    problems: int = Field(0, ge=0, description="held-out questions that are answered, evenly spread; 0: all")
    samples: int = Field(1, ge=1, le=1024, description="sampled answers to each, beside one greedy answer")
    sampling: SamplingParams = Field(SamplingParams(), description="how a token of a sampled answer is drawn")
