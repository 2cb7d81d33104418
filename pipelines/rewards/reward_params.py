"""Parameters of the reward: the judge, and what happens to responses that it cannot judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from pipelines.settings import JUDGE, Choice, JudgeSeam, Settings


@dataclass(frozen=True)
class OptionalSeam(JudgeSeam):
    """A seam whose choice may be null."""

    def check(self, name: str | None) -> str | None:  # type: ignore[override]
        return None if name is None else super().check(name)


MAYBE_JUDGE = OptionalSeam("pipelines.rewards")
choose_judge: Callable[[], Choice] = partial(JUDGE.choose, "final_answer")

OnError = Annotated[
    Literal["exclude", "wrong"],
    Field(description="a verdict that is an error leaves the response out, or counts as a wrong answer"),
]
ErrorShare = Annotated[
    float, Field(ge=0, le=1, description="the stage stops when more verdicts of an iteration are errors")
]


class RewardParams(Settings):
    """The exact checker of an evaluation. It must be the one that the corpus names in tokens.json."""

    reward: Annotated[Choice, JUDGE] = Field(
        default_factory=choose_judge, description="the checker that judges responses, with its options"
    )
    on_error: OnError = "exclude"
    max_error_share: ErrorShare = 0.05


class JudgeParams(Settings):
    """The reward seam of training: a rule by its name, or a model with its options."""

    reward: Annotated[Choice, JUDGE] = Field(
        default_factory=choose_judge,
        description="what judges responses while training: a rule, or a model with its options",
    )
    checker: Annotated[str | None, MAYBE_JUDGE] = Field(
        None,
        description="the exact checker that validates, which must be the one that the corpus names; null: "
        "the reward "
        "itself where that is "
        "a rule, and no accuracy where it is a model",
    )
    on_error: OnError = "exclude"
    max_error_share: ErrorShare = 0.05
