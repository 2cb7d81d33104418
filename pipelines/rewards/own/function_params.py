"""Options of a reward that is a function of the user's own."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from pipelines.rewards.own.place import FunctionPlace
from pipelines.settings import Choice, names_are_checked


class FunctionParams(Choice):
    """A function by its path, as `reward: my_rewards.py:correct` names it too."""

    kind: Literal["function"] = "function"
    path: str = Field(description="my_rewards.py:correct, or package.module:function")
    arguments: dict[str, Any] = Field({}, description="given to each call by keyword, beside the columns")
    time_limit: float = Field(
        30.0, gt=0, description="seconds for one call; a response that takes longer is an error verdict"
    )
    batch: int = Field(
        64, ge=1, description="responses in one call of a function that takes lists, as TRL's do"
    )
    parallel: int = Field(
        16, ge=1, le=1024, description="calls of an async function that takes one response, awaited at once"
    )
    messages: bool | None = Field(
        None,
        description="prompts and completions as lists of messages (true) or as texts; null: as the data has "
        "the question, as in TRL",
    )
    threshold: float = Field(0.5, description="a number above it counts as right in figures of accuracy")

    @property
    def place(self) -> FunctionPlace:
        return FunctionPlace.of(self.path)

    @property
    def own_code(self) -> tuple[str, ...]:
        return (self.place.code,)

    @model_validator(mode="after")
    def _is_there(self) -> FunctionParams:
        place = self.place
        if not names_are_checked():
            place.check()
        return self
