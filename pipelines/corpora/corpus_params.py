"""The `corpus.NAME` section of params.yaml: where the rows come from, and how they are cleaned and split."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from pipelines.corpora.sources_params import READERS, Source
from pipelines.settings import RULE, Settings


class NearParams(Settings):
    """Near-duplicates by MinHash over word shingles, confirmed by the exact Jaccard similarity of the
    candidates.
    """

    threshold: float = Field(
        0.8, gt=0, le=1, description="Jaccard similarity from which two questions count as one"
    )
    shingle: int = Field(3, ge=1, le=20, description="words or symbols per shingle")
    permutations: int = Field(128, ge=16, le=1024, description="length of a MinHash signature")


class DecontaminateParams(Settings):
    """What, beside equal text and an equal key, takes a training row out because held-out or validation rows
    hold it.

    With `ngram` also a held-out question that is shorter, where it stands in the row as a whole.
    """

    ngram: int | None = Field(
        13,
        ge=5,
        le=100,
        description="words in a row that no training row may share with a held-out row; null: off",
    )
    characters: int = Field(
        20, ge=8, le=200, description="the same in Chinese and Japanese, in characters; in Thai twice that"
    )
    common: int = Field(
        10,
        ge=1,
        description=(
            "an n-gram that more than this many rows share is a phrase of the trade and proves nothing"
        ),
    )
    near: bool = Field(True, description="also near-duplicates, by `near` of the corpus")


class CorpusParams(Settings):
    """One corpus. Every field is identity: changing it makes the corpus stale, and what is below it if the
    records change.
    """

    raw: str = Field(
        min_length=1,
        description="file or folder of raw data, relative to the project; the stage's declared dependency",
    )
    sources: dict[str, Annotated[Source, READERS]] = Field(
        min_length=1, description="named sources; their paths are relative to raw"
    )
    # not a Seam: the corpus only passes the name on, so the checker's code is no part of its identity
    reward: Annotated[str, AfterValidator(RULE.check)] = Field(
        "final_answer", description="module of pipelines/rewards that checks answers"
    )
    max_bad_rows: float = Field(
        0.01, ge=0, lt=1, description="share of a source's rows that may be bad; above it the stage fails"
    )
    validation_share: float = Field(
        0.1, ge=0, lt=1, description="share of the training keys put aside to choose settings on"
    )
    heldout_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the training keys put aside for reporting; 0 where files hold them",
    )
    near: NearParams | None = Field(NearParams(), description="null: exact duplicates only")
    decontaminate: DecontaminateParams = DecontaminateParams()
    max_prompt_tokens: int = Field(
        512,
        ge=1,
        description="longer prompts, in tokens of the model that reads them, are left out and counted",
    )
    max_response_tokens: int = Field(1024, ge=2, description="the same of demonstrations, their end included")

    @model_validator(mode="after")
    def _agree(self) -> CorpusParams:
        if self.validation_share + self.heldout_share >= 1:
            raise ValueError(
                "validation_share + heldout_share must stay below 1: nothing would be left to train on"
            )
        if self.decontaminate.near and self.near is None:
            raise ValueError("decontaminate.near needs near; set decontaminate.near: false")
        exams = [name for name, source in self.sources.items() if source.generates]
        if exams and not (self.validation_share and self.heldout_share):
            raise ValueError(
                f"source {exams[0]} generates its splits: validation_share and heldout_share must be above 0"
            )
        return self
