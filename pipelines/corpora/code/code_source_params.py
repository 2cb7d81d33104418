"""A file with code problems of a published set, in its published form."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipelines.settings import Seam, Settings


class CodeProblemFile(Settings):
    """One file of code problems."""

    reader: Annotated[str, Seam("pipelines.corpora.code", "convert(row, source)")] = Field(
        description="the form: mbpp, human_eval, apps, code_contests"
    )
    file: str = Field(min_length=1, description="JSONL, plain or .gz, relative to raw")
    exclude: tuple[str, ...] = Field(
        (), description="ids of problems that are left out: those whose own solution fails"
    )
