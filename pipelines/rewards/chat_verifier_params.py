"""Parameters of a Hugging Face chat model as a verifier."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipelines.rewards.verifier_params import AskingParams, ReadingParams


class ChatAskingParams(AskingParams):
    """As a verifier of one's own is asked, with the system line and the labels of published ones (methods/reward_bridge.md 2.1)."""

    system: str = Field("You are a helpful assistant.", description="system message; empty: none")
    positive: tuple[str, ...] = Field(("YES", "Yes", "yes", " YES", " Yes", " yes"), min_length=1)
    negative: tuple[str, ...] = Field(("NO", "No", "no", " NO", " No", " no"), min_length=1)


class ChatVerifierParams(ReadingParams):
    """A verifier or teacher by Hugging Face id or local path; its chat template is applied with the generation prompt."""

    kind: Literal["chat_verifier"] = "chat_verifier"
    model: str = Field(min_length=1, description="Hugging Face id, or local folder with config, tokenizer and safetensors")
    revision: str | None = Field(None, description="commit of the id; a branch moves")
    asking: ChatAskingParams = ChatAskingParams()

    @model_validator(mode="after")
    def _pinned(self) -> ChatVerifierParams:
        if "/" in self.model and not self.model.startswith((".", "/")) and self.revision is None:
            raise ValueError(f"revision: pin the commit of {self.model}; a branch name would let the verifier change unseen")
        return self
