"""Parameters of the stages base@<run>."""

from __future__ import annotations

from pydantic import Field

from pipelines.models.base_params import BaseParams


class BaseRun(BaseParams):
    """`base.runs.<run>`, laid over `base.common`; dvc.yaml reads `data` in the run itself."""

    data: str = Field(
        min_length=1, description="the set whose tokenizer the model gets: a key of corpus or rlvr_set"
    )
