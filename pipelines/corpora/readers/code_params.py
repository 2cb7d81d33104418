"""Options of code problems with tests."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.corpora.raw.sources_params import FileRole, SplitSource
from pipelines.settings import Seam


class CodeSource(SplitSource):
    """Code problems with tests, which the checker `code_tests` runs programs on."""

    layout: Annotated[str, Seam("pipelines.corpora.code", "convert(row, source)")] = Field(
        description="the form of the rows: mbpp, human_eval, apps, …"
    )
    numbers: dict[FileRole, tuple[int, int]] = Field(
        {},
        description=(
            "where one file holds all roles: first and last number in the ids of each; absent: as `splits` "
            "says"
        ),
    )
    exclude: tuple[str, ...] = Field(
        (), description="ids of problems that are left out: those whose own solution fails"
    )
    demonstrations: Literal["program", "completion"] = Field(
        "program", description="the whole solution, or what of it goes on where the prompt's own code ends"
    )

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        ranges = sorted(self.numbers.values())
        if any(last < first for first, last in ranges) or any(
            left[1] >= right[0] for left, right in pairwise(ranges)
        ):
            raise ValueError("numbers: ranges must run upwards and must not overlap")
        if self.numbers and len(self.splits) > 1:
            raise ValueError("numbers place the rows of one file; name one split only")
        return self
