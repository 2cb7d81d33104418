"""Parameters of batch credit."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.settings import Choice


class BatchParams(Choice):
    """REINFORCE and REINFORCE++; their baseline is the normalisation of rewards or the whitening of
    advantages over the batch.
    """

    kind: str = "batch"
    returns: Literal["sequence", "to_go"] = Field(
        "sequence",
        description=(
            "a token's return: the whole response's (REINFORCE), or what follows from it on (REINFORCE++)"
        ),
    )
