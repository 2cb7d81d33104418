"""Options of the PandaLM layout."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.corpora.preferences.pair_sources_params import PairSource


class PandalmParams(PairSource):
    """Two responses and the labels of three annotators."""

    kind: Literal["pandalm"] = "pandalm"
    agreement: int = Field(2, ge=2, le=3, description="annotators that must agree; 2: the majority, 3: all")
