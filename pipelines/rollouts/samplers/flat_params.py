"""Parameters of the flat sampler."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.settings import Choice


class FlatParams(Choice):
    """Independent responses."""

    kind: Literal["flat"] = "flat"
    samples: int = Field(8, ge=1, description="responses per prompt")

    @property
    def responses(self) -> int:
        """Responses per prompt."""
        return self.samples

    def most(self, new: int) -> int:
        """Sequences of one prompt that are asked for at once at most, of `new` tokens each."""
        return self.samples
