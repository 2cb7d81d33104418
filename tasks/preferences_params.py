"""The `preferences.<set>` section of params.yaml: the set's settings, and what dvc.yaml makes inputs of."""

from __future__ import annotations

from pydantic import Field

from pipelines.corpora.preferences_params import PreferencesParams


class PreferenceSet(PreferencesParams):
    """`preferences.<set>`; dvc.yaml reads `origin` and `data` in it."""

    data: str = Field(
        min_length=1,
        description=(
            "the corpus whose prompts are sampled and whose sides prompts keep; its tokenizer is the pairs'"
        ),
    )
