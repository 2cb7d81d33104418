"""The sections `assess` and `wins` of params.yaml: which models are assessed, against what, by whom, and
which are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import Field, GetCoreSchemaHandler, model_validator
from pydantic_core.core_schema import CoreSchema, no_info_plain_validator_function

from pipelines.evaluation.assessment_params import AssessParams
from pipelines.rewards.reward_params import MAYBE_JUDGE
from pipelines.settings import Choice, Seam, Settings


@dataclass(frozen=True)
class SafetyRule(Seam):
    """A rule with options that says which answers are safe; null: none."""

    def choose(self, value: Any) -> Any:
        return None if value is None else super().choose(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_plain_validator_function(self.choose)


SAFETY_RULE = SafetyRule("pipelines.rewards", "is_safe")


class AssessedModel(Settings):
    """One member of `assess.models`: a model that is assessed."""

    reference: str = Field(
        min_length=1,
        description="the model that the distance is measured from: where the assessed one started",
    )
    data: str = Field(min_length=1, description="the set whose held-out pairs the implicit reward orders")
    prompts: str = Field(min_length=1, description="the corpus whose held-out prompts are answered")


class GraderParams(Settings):
    """Who judges the sampled answers. A model looks better than it is to the judge that it was trained
    against (dpo_vs_ppo.md 9.1.19).
    """

    reward_model: str = Field(
        min_length=1, description="the run of reward_model.runs that gives rewards (kind: bradley_terry)"
    )
    cost_model: str = Field(
        min_length=1,
        description="the run of reward_model.runs that gives costs (kind: cost); reward_model's again: none",
    )
    checker: Annotated[str | None, MAYBE_JUDGE] = Field(
        None, description="the exact checker of the corpus; null: no accuracy"
    )
    rule: Annotated[Choice | None, SAFETY_RULE] = Field(
        None, description="the rule that says which answers are safe; null: none"
    )


class Assess(Settings):
    """The section `assess` of params.yaml."""

    models: dict[str, AssessedModel] = Field(
        description="the models that are assessed; each is a stage assess@<model>"
    )
    graders: GraderParams | None = Field(None, description="who judges; null where no model is assessed")
    settings: AssessParams = AssessParams()

    @model_validator(mode="after")
    def _models_have_graders(self) -> Self:
        if self.models and self.graders is None:
            raise ValueError("models are assessed, but by nobody: add a section assess.graders")
        return self
