"""Parameters of a Hugging Face chat model as a verifier."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.rewards.models.verifier_params import AskingParams, ReadingParams
from pipelines.sources.source_params import Named, Outside, check_revision


class ChatAskingParams(AskingParams):
    """Prompt and labels of a chat model, by default those of published verifiers (reward_bridge.md 2.1)."""

    system: str = Field("You are a helpful assistant.", description="system message; empty: none")
    positive: tuple[str, ...] = Field(
        ("YES", "Yes", "yes", " YES", " Yes", " yes"),
        min_length=1,
        description="spellings of the label that says right",
    )
    negative: tuple[str, ...] = Field(
        ("NO", "No", "no", " NO", " No", " no"),
        min_length=1,
        description="spellings of the label that says wrong",
    )

    @model_validator(mode="after")
    def _asks_for_what_is_read(self) -> Self:
        missing = {"positive", "negative"} - self.named(f"{self.system}\n{self.template}")
        if missing:
            labels = "; ".join(f"{side}: {list(getattr(self, side))}" for side in sorted(missing))
            raise ValueError(
                f"template does not tell the model to answer with the labels that are read ({labels}): an "
                f"obedient model would be misread. "
                "Name them in the template, set positive and negative to what it asks for, or leave the "
                "template out"
            )
        return self


class ChatVerifierParams(ReadingParams):
    """A verifier or teacher by Hugging Face id or local path. Its chat template is applied with the
    generation prompt.
    """

    kind: Literal["chat_verifier"] = "chat_verifier"
    model: Annotated[Named, Outside("model")] = Field(
        description=(
            "path of a folder with tokenizer, or a .gguf file; Hugging Face id, or {path|hub|package: …}"
        )
    )
    revision: str | None = Field(
        None, description="commit, tag or branch of the id; what is no commit is pinned when fetched"
    )
    asking: ChatAskingParams = ChatAskingParams()

    @model_validator(mode="after")
    def _revision(self) -> ChatVerifierParams:
        check_revision(self.model, self.revision, "model")
        return self
