"""Options of the BeaverTails layout."""

from __future__ import annotations

from typing import Literal

from pipelines.corpora.preferences.pair_sources_params import PairSource


class BeavertailsParams(PairSource):
    """Single responses, each with a safety flag."""

    kind: Literal["beavertails"] = "beavertails"
