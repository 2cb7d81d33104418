"""The section `preferences.NAME` of params.yaml: where pairs come from, what is filtered out, and how they
are split.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.corpus_params import DecontaminateParams, NearParams
from pipelines.corpora.records.set_rules import SetRules
from pipelines.settings import Choice, Seam, Settings

PAIRS = Seam("pipelines.corpora.pairs", "read(source, reading)")


class FilterParams(Settings):
    """The two filters of dpo_vs_ppo.md 1.3. dual_safe is only defined on top of dual_unsafe."""

    dual_unsafe: bool = Field(False, description="take out pairs whose answers are both unsafe")
    dual_safe: bool = Field(
        False, description="and those whose answers are both safe: only `safe beats unsafe` is left"
    )

    @model_validator(mode="after")
    def _stacked(self) -> FilterParams:
        if self.dual_safe and not self.dual_unsafe:
            raise ValueError(
                "dual_safe stacks on dual_unsafe (dpo_vs_ppo.md 1.3); set dual_unsafe: true as well"
            )
        return self


class PreferencesParams(Settings):
    """One set of preferences. Every field is identity: changing it makes the set stale, and what is trained
    on it if the pairs change.
    """

    origin: str = Field(
        min_length=1,
        description="folder or file of raw data, or for `sampled` a model folder; the declared dependency",
    )
    source: Annotated[Choice, PAIRS] = Field(description="how the raw data reads, and its options")
    filters: FilterParams = FilterParams()
    max_pairs_per_prompt: int | None = Field(
        None, ge=1, description="more pairs of one prompt are drawn from, uniformly; null: all stay"
    )
    validation_share: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="share of the training prompts put aside to choose settings on; 0 of `sampled` where it "
        "is not said",
    )
    heldout_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the training prompts put aside for reporting; 0 where files hold them",
    )
    limits: dict[Side, Annotated[int, Field(ge=1)]] = Field(
        {}, description="prompts kept of a side, by hash; absent: all"
    )
    near: NearParams | None = Field(
        NearParams(),
        description="near-duplicate prompts give way to those of other splits; null: equal ones only",
    )
    decontaminate: DecontaminateParams = Field(
        DecontaminateParams(ngram=None),
        description="what removes a training prompt that contains a validation or held-out prompt",
    )
    max_prompt_tokens: int = Field(
        512,
        ge=1,
        description="longer prompts, in tokens of the model that reads them, are left out and counted",
    )
    max_answer_tokens: int = Field(
        512, ge=1, description="longer answers are cut at their right end, EOS included, and counted"
    )
    max_tokens: int = Field(
        1024,
        ge=2,
        description="prompt and answer together; an answer is cut to what its prompt leaves of it; absent: "
        "the sum of both limits",
    )
    max_bad_rows: float = Field(
        0.01, ge=0, lt=1, description="share of the raw rows that may be bad; above it the stage fails"
    )

    @property
    def rules(self) -> SetRules:
        """Returns the rules by which the set's pairs and demonstrations are tokenised."""
        return SetRules(
            max_prompt_tokens=self.max_prompt_tokens,
            max_response_tokens=self.max_answer_tokens,
            max_tokens=self.max_tokens,
            max_bad_rows=self.max_bad_rows,
        )

    @model_validator(mode="before")
    @classmethod
    def _room_for_both(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or value.get("max_tokens") is not None:
            return value
        limits = [
            value.get(key, cls.model_fields[key].default)
            for key in ("max_prompt_tokens", "max_answer_tokens")
        ]
        whole = all(isinstance(limit, int) for limit in limits)
        return {**value, "max_tokens": sum(limits)} if whole else value

    @model_validator(mode="after")
    def _agree(self) -> PreferencesParams:
        if self.validation_share + self.heldout_share >= 1:
            raise ValueError(
                "validation_share + heldout_share must stay below 1: nothing would be left to train on"
            )
        if self.decontaminate.near and self.near is None:
            raise ValueError("decontaminate.near needs near; set decontaminate.near: false")
        if self.max_prompt_tokens >= self.max_tokens:
            raise ValueError("max_prompt_tokens must stay below max_tokens: the answer needs room")
        return self
