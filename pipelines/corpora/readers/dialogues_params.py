"""Options of preference data that is read as demonstrations."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipelines.corpora.raw.sources_params import Normalise, SplitSource
from pipelines.settings import Seam


class DialoguesSource(SplitSource):
    """Preference data as demonstrations: the preferred answers of dialogues. Its prompts serve RL as well; no
    answer can be checked.
    """

    normalise: Normalise = False
    layout: Annotated[str, Seam("pipelines.corpora.pairs", "preference(row, side, source)")] = Field(
        description="columns chosen and rejected as whole dialogues, or conversations and chosen"
    )
