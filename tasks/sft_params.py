"""Parameters of the stages sft@<run>."""

from __future__ import annotations

from pydantic import Field

from pipelines.training.options import SupervisedParams
from tasks.seed_params import Seeded


class SftRun(Seeded, SupervisedParams):
    """`sft.runs.<run>`, laid over `sft.common`; dvc.yaml reads `start` and `data` in the run itself."""

    start: str = Field(min_length=1, description="the model that the run starts from: a folder of models/")
    data: str = Field(min_length=1, description="the demonstrations: a key of corpus or preferences")
