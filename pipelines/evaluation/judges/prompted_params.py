"""Options of a prompted judge: any causal language model of Hugging Face."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.settings import Choice


class PromptedParams(Choice):
    """It writes a sentence that compares the answers, then A or B."""

    kind: Literal["prompted"] = "prompted"
    model: str = Field(min_length=1, description="Hugging Face id, or folder of a model with its tokenizer")
    revision: str | None = Field(None, description="commit of the Hugging Face model; pin it, or the judge may change")
    question: str = Field("which one is more helpful", min_length=1, max_length=300, description="what decides, as the end of a sentence")
    max_new_tokens: int = Field(96, ge=4, le=2048, description="longest judgement")
    batch: int = Field(8, ge=1, description="judgements written at once")
    text_limit: int = Field(4000, ge=16, description="characters of a query or an answer that the judge sees")
