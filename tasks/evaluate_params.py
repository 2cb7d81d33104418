"""Parameters of the stages evaluate@<run>."""

from __future__ import annotations

from pydantic import Field

from pipelines.evaluation.evaluate_params import EvaluateParams
from tasks.seed_params import Seeded


class EvaluateRun(Seeded, EvaluateParams):
    """`evaluate.runs.<run>`, laid over `evaluate.common`; dvc.yaml reads `model` and `data` in the run
    itself.
    """

    model: str = Field(min_length=1, description="the model that answers: a folder of models/")
    data: str = Field(
        min_length=1, description="the set whose held-out questions are answered: a key of corpus"
    )
