"""Options of the judges of pairs of answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.settings import Choice
from pipelines.sources.source_params import Named, Outside, check_revision


class RewardModelParams(Choice):
    """It is the model that the policies were trained against, where they were: such a comparison flatters
    them.
    """

    kind: Literal["reward_model"] = "reward_model"
    gap: float = Field(0.0, ge=0, description="rewards that differ by no more tie")


class PromptedParams(Choice):
    """It writes a sentence that compares the answers, then A or B."""

    kind: Literal["prompted"] = "prompted"
    model: Annotated[Named, Outside("model")] = Field(
        description=(
            "path of a folder with tokenizer, or a .gguf file; Hugging Face id, or {path|hub|package: …}"
        )
    )
    revision: str | None = Field(
        None, description="commit, tag or branch of the id; what is no commit is pinned when fetched"
    )
    question: str = Field(
        "which one is more helpful",
        min_length=1,
        max_length=300,
        description="what decides, as the end of a sentence",
    )
    max_new_tokens: int = Field(96, ge=4, le=2048, description="longest judgement")
    batch: int = Field(8, ge=1, description="judgements written at once")
    text_limit: int = Field(4000, ge=16, description="characters of a query or an answer that the judge sees")

    @model_validator(mode="after")
    def _revision(self) -> PromptedParams:
        check_revision(self.model, self.revision, "model")
        return self
