"""Options of a weighted sum of rewards."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.settings import JUDGE, Choice, Settings

PartName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]


class PartParams(Settings):
    """One reward of a sum."""

    reward: Annotated[Choice, JUDGE] = Field(description="what judges: a rule, a function, or a model")
    weight: float = Field(1.0, description="factor of its score; below 0: a punishment")


class SumParams(Choice):
    """Rewards by name. One that does not apply to a question is left out of its sum, as TRL leaves out
    None.
    """

    kind: Literal["sum"] = "sum"
    parts: dict[PartName, PartParams] = Field(
        min_length=1, description="the rewards by the names that metrics call them by"
    )
    decides: str | None = Field(
        None,
        description="the part whose verdict is right or wrong in figures of accuracy; null: a sum above "
        "`threshold` is right",
    )
    threshold: float = Field(0.5, description="a sum above it counts as right in figures of accuracy")

    @property
    def asks_run(self) -> Choice | None:
        """The reward among the parts whose model a run makes."""
        return next((part.reward for part in self.parts.values() if part.reward.asks_run), None)

    @property
    def model(self) -> str:
        return str(getattr(self.asks_run, "model", self.kind))

    @model_validator(mode="after")
    def _agrees(self) -> SumParams:
        if self.decides is not None and self.decides not in self.parts:
            raise ValueError(f"decides: {self.decides} is none of the parts {', '.join(self.parts)}")
        if nested := [name for name, part in self.parts.items() if isinstance(part.reward, SumParams)]:
            raise ValueError(f"parts.{nested[0]} is a sum itself: name its parts here, with their weights")
        if not any(part.weight for part in self.parts.values()):
            raise ValueError("every weight is 0: no response would have a reward")
        models = [name for name, part in self.parts.items() if part.reward.asks_run]
        if len(models) > 1:
            raise ValueError(f"{' and '.join(models)} ask models of runs, and a run waits for one judge only")
        return self
