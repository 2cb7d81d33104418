"""Parameters of the model that a multi-subject set starts from."""

from __future__ import annotations

from pydantic import Field

from pipelines.models.base_params import BaseParams
from pipelines.settings import Settings
from pipelines.training.supervised_params import SupervisedParams


class StartRun(Settings):
    """`rlvr_start.runs.<run>`, laid over `rlvr_start.common`; dvc.yaml reads `set` in the run itself."""

    set: str = Field(
        min_length=1,
        description="the set whose tokenizer and demonstrations it takes: a key of the section rlvr_set",
    )
    model: BaseParams = Field(description="from scratch, or a Hugging Face id or path")
    sft: SupervisedParams | None = Field(
        None,
        description="learn from the set's demonstrations; null: none, as in the paper (reward_bridge.md 5.3)",
    )
