"""What the parameters of every preference loss share."""

from __future__ import annotations

from pydantic import Field

from pipelines.settings import Choice


class PairLossParams(Choice):
    """`beta` also scales the implicit rewards of the log, beta * log pi/pi_ref."""

    beta: float = Field(
        0.1,
        gt=0,
        le=100,
        description="strength of the KL term that the loss is derived from; larger stays closer",
    )
