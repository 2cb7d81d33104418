"""The seed of one run, and several seeds of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from pipelines.settings import Settings

Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Seeded(Settings):
    """A run with a seed of its own: what it starts and learns from is the same for every seed."""

    seed: Seed = Field(
        0, description="seed of everything random in this run; without it that of identity.seed"
    )
    seeds: tuple[Seed, ...] = Field(
        (),
        exclude=True,  # `whetstone use` and `run` write a run for each, so none has several (graph/seeds.py)
        description="several seeds: the run NAME becomes NAME_s0, NAME_s1, …, and with it what refers to it",
    )

    @field_validator("seeds")
    @classmethod
    def _written_out(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if value:
            raise ValueError(
                "different whole numbers are expected, in the run itself: seeds in common or in a preset are "
                "not taken"
            )
        return value
