"""Parameters of the replay buffer."""

from __future__ import annotations

from pydantic import Field

from pipelines.settings import Settings


class ReplayParams(Settings):
    """How the segments of a tree are spread over iterations (spo.md 2.4)."""

    rows: int = Field(
        512, ge=1, description="segments trained on per iteration; fewer while the buffer holds fewer"
    )
    per_prompt: int = Field(
        32, ge=1, description="segments of one problem per iteration at most: they are near-duplicates"
    )
    max_age: int = Field(
        8, ge=1, description="iterations a segment may be drawn in, the one that sampled it included"
    )
    official: bool = Field(
        False,
        description=(
            "as the published code: each problem gives up per_prompt segments, those beyond rows are lost, "
            "too few are repeated"
        ),
    )
