"""Parameters of segment advantages in a tree."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.settings import Choice


class SegmentTreeParams(Choice):
    """A segment against its siblings."""

    kind: Literal["segment_tree"] = "segment_tree"
    spread: Literal["none", "population"] = Field(
        "none", description="divisor of the advantages: none, or the siblings' standard deviation over n"
    )
    spread_epsilon: float = Field(1e-8, ge=0, le=1, description="added to the standard deviation")
