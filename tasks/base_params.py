"""Parameters of the stages base@<run>."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from pipelines.models.base_params import BaseParams
from tasks.judge_params import NONE


class BaseRun(BaseParams):
    """`base.runs.<run>`, laid over `base.common`; dvc.yaml reads `data` in the run itself."""

    data: str = Field(
        min_length=1,
        description="the set that its tokenizer is trained on: a key of corpus; none where the "
        "tokenizer is a published one",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_scratch(cls, value: Any) -> Any:
        """One that names data and no model from outside is made from scratch."""
        if not isinstance(value, Mapping) or value.get("data", NONE) == NONE:
            return value
        given = [value.get("architecture"), value.get("pretrained")]
        return value if any(item is not None for item in given) else {**value, "architecture": {}}

    @model_validator(mode="after")
    def _learns_from_data(self) -> Self:
        if (self.data == NONE) != self.published_tokenizer:
            raise ValueError(
                "data is none, and the tokenizer is trained: name in data the set that it learns from"
                if self.data == NONE
                else "data is for a tokenizer that is trained on it: with a published one set data: none"
            )
        return self
