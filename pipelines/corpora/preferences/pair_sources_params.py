"""Common options of the readers of preference data: which split or files give which side."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.raw.location_params import Location
from pipelines.settings import Choice


class PairSource(Location, Choice):
    """Rows of a Hugging Face dataset, or of local files. Rows under `train` are split by prompt; the other
    sides stay as they are.
    """

    splits: dict[Side, str | tuple[str, ...]] = Field(
        min_length=1,
        description=(
            "for each side the splits of the dataset, or files relative to origin: JSONL, JSON, CSV or "
            "Parquet"
        ),
    )
    expected: dict[Side, Annotated[int, Field(ge=1)]] = Field(
        {}, description="rows that a side must have, bad ones included; absent: any number"
    )
