"""Options of any table: which column holds what."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from pipelines.corpora.raw.sources_params import Normalise, SplitSource
from pipelines.settings import Settings


class Columns(Settings):
    """Which column holds what. A dot goes into nested columns: `answer.value`."""

    question: str = Field("question", description="text, or a list of turns that ends with the user's")
    answer: str = Field("answer", description="the reference that responses are checked against")
    solution: str | None = Field(
        None, description="demonstration; null: none, or the text before answer_after"
    )
    subject: str | None = Field(None, description="null: the source's own name")
    level: str | None = Field(None, description="a whole number, or text with one in it")
    key: str | None = Field(
        None, description="rows with an equal value stay on one side of the split; null: the question"
    )


class TableSource(SplitSource):
    """Any Hugging Face dataset id, or local JSONL, CSV and Parquet files, by a mapping of columns."""

    columns: Columns = Columns()
    normalise: Normalise = False
    answer_after: str | None = Field(
        None,
        description="the answer is what follows this text for the last time in its column, as #### in GSM8K",
    )

    @model_validator(mode="after")
    def _demonstrated(self) -> Self:
        if "sft" in self.splits and self.columns.solution is None and self.answer_after is None:
            raise ValueError(
                "splits.sft has no demonstrations: name their column as columns.solution, or give the rows "
                "the role rl"
            )
        return self
