"""The section `preferences.<set>` of params.yaml: the set's settings, and the references that dvc.yaml makes
inputs of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from pipelines.corpora.pairs.sampled_params import SampledParams
from pipelines.corpora.preferences.preference_set_params import PreferencesParams
from tasks.judge_params import NONE, check_judge, with_judge


class PreferenceSet(PreferencesParams):
    """`preferences.<set>`; dvc.yaml reads `origin`, `data` and `judge` in it."""

    data: str = Field(
        NONE,
        min_length=1,
        description="the corpus whose prompts are sampled and whose sides prompts keep; none: pairs that "
        "stand for themselves",
    )
    judge: str = Field(
        NONE,
        min_length=1,
        description="the run of reward_model or verifier that judges samples; none: a rule does, or nothing "
        "is sampled",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_samples(cls, value: Any) -> Any:
        source = value.get("source") if isinstance(value, Mapping) else None
        if not isinstance(source, Mapping) or source.get("kind") != "sampled":
            return value
        value = {"validation_share": 0.0, **value}  # `prompts` says how many of the corpus's own are sampled
        if "reward" not in source:
            return value
        reward = with_judge(source["reward"], value.get("judge", NONE))
        return {**value, "source": {**source, "reward": reward}}

    @model_validator(mode="after")
    def _one_judge(self) -> Self:
        source = self.source
        if isinstance(source, SampledParams) and self.data == NONE:
            raise ValueError("pairs of samples answer the prompts of a corpus: name it in data")
        check_judge(
            source.reward if isinstance(source, SampledParams) and source.file is None else None, self.judge
        )
        return self
