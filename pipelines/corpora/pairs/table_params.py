"""Options of any table of pairs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipelines.corpora.preferences.pair_sources_params import PairSource
from pipelines.settings import Settings


class PairColumns(Settings):
    """Which column holds what. A dot goes into nested columns. Prompt and answers are text or lists of chat
    turns.
    """

    prompt: str | None = Field("prompt", description="null: the turns of `chosen` before its last one")
    chosen: str = Field("chosen", description="the preferred answer, or the dialogue that ends with it")
    rejected: str = Field("rejected", description="the other answer, or the dialogue that ends with it")
    label: str | None = Field(
        None, description="which of the two is preferred, by `labels`; null: always `chosen`"
    )
    key: str | None = Field(
        None, description="rows with an equal value stay on one side of the split; null: the prompt"
    )
    chosen_safe: str | None = Field(
        None, description="whether the answer under `chosen` is safe: true or false"
    )
    rejected_safe: str | None = Field(None, description="whether the answer under `rejected` is safe")
    safer: str | None = Field(
        None, description="which of the two is safer, by `labels`; null: unknown, or told by the flags"
    )


class Labels(Settings):
    """What a label column holds for each verdict, as text."""

    chosen: tuple[str, ...] = Field(
        ("0", "chosen"), description="the answer under `chosen` is preferred, or safer"
    )
    rejected: tuple[str, ...] = Field(("1", "rejected"), description="the answer under `rejected` is")
    tie: tuple[str, ...] = Field(("tie",), description="such rows are removed and counted")


class TableParams(PairSource):
    """Any table of pairs, by a mapping of columns."""

    kind: Literal["table"] = "table"
    columns: PairColumns = PairColumns()
    labels: Labels = Labels()

    @model_validator(mode="after")
    def _flags(self) -> TableParams:
        if (self.columns.chosen_safe is None) != (self.columns.rejected_safe is None):
            raise ValueError("columns.chosen_safe and columns.rejected_safe must both be named, or neither")
        if self.columns.safer and not self.columns.chosen_safe:
            raise ValueError(
                "columns.safer needs columns.chosen_safe and columns.rejected_safe: the merge rule reads all "
                "three"
            )
        return self
