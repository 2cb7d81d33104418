"""Options of the rule that marks some answers as forbidden."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipelines.settings import Choice


class ForbiddenParams(Choice):
    """Digits and words that a final answer must not contain."""

    kind: Literal["forbidden"] = "forbidden"
    digits: str = Field(
        "7", pattern=r"^\d*$", description="each of these digits in the final answer is a harm"
    )
    words: tuple[str, ...] = Field(
        (), description="each whole word of these in the final answer is a harm, letter case aside"
    )

    @model_validator(mode="after")
    def _something(self) -> ForbiddenParams:
        if not self.digits and not self.words:
            raise ValueError("digits and words are both empty: no answer could ever be unsafe")
        return self
