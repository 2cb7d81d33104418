"""What a client may ask: the fields of OpenAI's requests that change a response. Those that this server
does not follow are refused where they ask for anything, never passed over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.rollouts.rollout_params import SamplingParams

Stops = str | Annotated[list[str], Field(max_length=4)] | None
MOST_CHOICES, MOST_TOP = 16, 20


class StreamOptions(BaseModel):
    include_usage: bool = False


class GenerationRequest(BaseModel, ABC):
    """What chat and plain completions share. Keys that ask nothing of a model (`user`, `metadata`) are
    ignored.
    """

    model_config = ConfigDict(extra="allow")
    REFUSED: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "frequency_penalty": (0,),
        "presence_penalty": (0,),
        "logit_bias": ({},),
        "response_format": ({"type": "text"},),
        "tool_choice": ("none", "auto"),
        "functions": ([],),
        "suffix": ("",),
        "echo": (False,),
        "best_of": (1,),
        "min_p": (0,),
        "repetition_penalty": (1,),
    }

    model: str
    temperature: float = Field(1.0, ge=0, le=10)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=-1)
    max_tokens: int | None = Field(None, ge=1)
    n: int = Field(1, ge=1, le=MOST_CHOICES)
    seed: int | None = None
    stop: Stops = None
    stream: bool = False
    stream_options: StreamOptions | None = None

    @model_validator(mode="before")
    @classmethod
    def _unset(cls, value: Any) -> Any:
        """A key with null is one that is left out."""
        if not isinstance(value, dict):
            return value
        return {key: item for key, item in value.items() if item is not None}

    @model_validator(mode="after")
    def _followed(self) -> Self:
        for key, value in (self.model_extra or {}).items():
            if key in self.REFUSED and value not in self.REFUSED[key]:
                raise ValueError(f"{key} is not supported here; leave it out")
        return self

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    def sampling(self, context: int) -> SamplingParams:
        """`context`: the limit of tokens where the request has none."""
        return SamplingParams(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=max(0, self.top_k),
            max_new_tokens=self.longest or context,
        )

    @property
    def longest(self) -> int | None:
        return self.max_tokens

    @property
    @abstractmethod
    def top(self) -> int | None:
        """How many of the likeliest tokens are wanted at each place; None: no log-probs at all."""


class ChatRequest(GenerationRequest):
    """/v1/chat/completions."""

    messages: list[Any]
    tools: list[dict[str, Any]] = []
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=MOST_TOP)

    @property
    def longest(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def top(self) -> int | None:
        return self.top_logprobs if self.logprobs else None


class CompletionRequest(GenerationRequest):
    """/v1/completions: the text is continued as it stands."""

    prompt: str | list[int] | list[str] | list[list[int]]
    logprobs: int | None = Field(None, ge=0, le=MOST_TOP)

    @property
    def prompts(self) -> list[str | list[int]]:
        if isinstance(self.prompt, str) or all(isinstance(item, int) for item in self.prompt):
            return [self.prompt]  # type: ignore[list-item]
        return list(self.prompt)  # type: ignore[arg-type]

    @property
    def top(self) -> int | None:
        return self.logprobs
