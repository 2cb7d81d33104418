"""Options of the embedded multi-subject set."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.corpora.raw.sources_params import Level, Source

PhraseSubject = Literal["holder", "order", "amount", "rule", "both"]


class PhrasesSource(Source):
    """The embedded multi-subject set: generated questions whose answers are phrases; checked by
    `phrase_answer`.
    """

    lexicon: str = Field(
        "lexicon.jsonl", description="JSONL of {kind: name|thing|place|animal|need|unit, word}"
    )
    subjects: tuple[PhraseSubject, ...] = Field(
        ("holder", "order", "amount", "rule", "both"),
        min_length=1,
        description="kinds of question that are made",
    )
    unseen: tuple[PhraseSubject, ...] = Field(
        (), description="subjects without demonstrations and RL prompts: only validation and held-out"
    )
    sft_levels: tuple[Level, ...] = Field((1, 2), min_length=1, description="levels with demonstrations")
    rl_levels: tuple[Level, ...] = Field(
        (1, 2, 3), min_length=1, description="levels of RL prompts, validation and held-out problems"
    )
    terse: float = Field(
        0.5, ge=0, le=1, description="share of demonstrations that give the bare answer, without the working"
    )
    n_sft: int = Field(ge=1, le=1_000_000, description="demonstrations that are made")
    n_rl: int = Field(ge=1, le=1_000_000, description="RL problems that are made")
    n_validation: int = Field(ge=1, le=100_000, description="validation problems that are made")
    n_heldout: int = Field(ge=1, le=100_000, description="held-out problems that are made")

    @model_validator(mode="after")
    def _seen(self) -> Self:
        if not set(self.subjects) - set(self.unseen):
            raise ValueError("unseen names every subject; at least one must have demonstrations")
        return self
