"""The sections `rlvr_set.<name>`: a multi-subject set with reference answers, split for verifiers and the
policies that learn from them.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from pipelines.corpora.corpus_params import CorpusParams, DecontaminateParams, NearParams
from pipelines.corpora.exams.exams_params import ExamSetParams
from pipelines.corpora.sources_params import READERS, Source
from pipelines.settings import RULE, Seam, Settings


class WordingParams(Settings):
    """Other words for an answer: demonstrations that do not all sound like the reference, and variants for
    the laboratory.
    """

    module: Annotated[str, Seam("pipelines.rewards", "near_misses(question, reference, rng)")] = Field(
        "phrase_variants",
        description=(
            "module of pipelines/rewards with `paraphrases(reference)` and `near_misses(question, reference, "
            "rng)`"
        ),
    )
    share: float = Field(
        0.75,
        ge=0,
        le=1,
        description="of the demonstrations that state their answer in other words than the reference's",
    )


class RlvrSetParams(Settings):
    """One set. Every field is identity."""

    origin: str = Field(
        min_length=1, description="data/exams, or raw data of `sources`; the stage's declared dependency"
    )
    exams: ExamSetParams | None = Field(
        None, description="unite exams; they are clustered, split by cluster and decontaminated"
    )
    sources: dict[str, Annotated[Source, READERS]] | None = Field(
        None, description="or read what a corpus can be made of, split by key"
    )
    unseen: tuple[str, ...] = Field(
        (), description="subjects of the exams that are held out whole; sources name their own"
    )
    explore_share: float = Field(
        0.4,
        gt=0,
        lt=1,
        description="of the sources' RL questions, by key: where verifiers get their judgements",
    )
    calib_share: float = Field(0.1, gt=0, lt=1, description="of the same: where verifiers are calibrated")
    validation_share: float = Field(
        0.1, ge=0, lt=1, description="of the training keys (sources), or of the RL questions (exams)"
    )
    heldout_share: float = Field(
        0.0, ge=0, lt=1, description="of the sources' training keys; 0 where files hold them"
    )
    near: NearParams | None = Field(NearParams(), description="near-duplicates among the sources' rows")
    decontaminate: DecontaminateParams = DecontaminateParams()
    wording: WordingParams | None = Field(
        None, description="null: demonstrations and answers as the sources state them"
    )
    # not a Seam: the set only passes the name on
    reward: Annotated[str, AfterValidator(RULE.check)] = Field(
        "math_answer", description="the exact checker; for sets without one, a rule that reports name as such"
    )
    max_bad_rows: float = Field(
        0.01, ge=0, lt=1, description="share of rows that may be bad; above it the stage fails"
    )
    max_prompt_tokens: int = Field(
        512,
        ge=1,
        description="longer prompts, in tokens of the model that reads them, are left out and counted",
    )
    max_response_tokens: int = Field(1024, ge=2, description="the same of demonstrations, their end included")

    @property
    def corpus(self) -> CorpusParams:
        """The sources as a corpus reads and cleans them."""
        return CorpusParams(
            raw=self.origin,
            sources=self.sources or {},
            reward=self.reward,
            max_bad_rows=self.max_bad_rows,
            validation_share=self.validation_share,
            heldout_share=self.heldout_share,
            near=self.near,
            decontaminate=self.decontaminate,
        )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if (self.exams is None) == (self.sources is None):
            raise ValueError("give either exams or sources, and set the other null")
        if self.unseen and self.exams is None:
            raise ValueError("unseen belongs to exams; a source names its own unseen subjects")
        if self.explore_share + self.calib_share >= 1:
            raise ValueError("explore_share + calib_share must stay below 1: nothing would be left for RL")
        if self.sources is not None:
            self.corpus  # noqa: B018 - raises ValueError where the sources do not make a corpus
        return self
