"""Settings of the report: what the page shows of the results. None of them changes a number."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.settings import Settings


class ReportParams(Settings):
    """The `report` section of params.yaml."""

    title: str = Field("Whetstone report", min_length=1, max_length=120, description="heading of the page")
    samples: int = Field(
        3, ge=0, le=50, description="examples shown of each kind: improved, regressed, both wrong, both right"
    )
    decoding: Literal["greedy", "sampled"] = Field("greedy", description="which answers stand side by side")
    text_limit: int = Field(
        1200, ge=80, le=20000, description="characters of a prompt or an answer that are shown"
    )
    smoothing: int = Field(
        9,
        ge=1,
        le=1000,
        description="steps in the mean drawn over a noisy curve, at most a twentieth of it; 1: none",
    )
