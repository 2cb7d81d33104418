"""The section `corpus.NAME` of params.yaml: where the rows come from, and how they are cleaned and split."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from pipelines.corpora.exams.exams_params import ExamSetParams
from pipelines.corpora.raw.sources_params import READERS, CorpusSource
from pipelines.settings import RULE, Seam, Settings


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
    """What, besides equal text and an equal key, removes a training row because it contains a held-out or
    validation row.

    With `ngram` also a shorter held-out question, where it occurs in the row as a whole.
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
        description=("an n-gram that more than this many rows share is a common phrase and is ignored"),
    )
    near: bool = Field(True, description="also near-duplicates, by `near` of the corpus")


class WordingParams(Settings):
    """Paraphrases of answers: demonstrations that do not all use the reference's words, and variants for the
    laboratory.
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


class VerifierShares(Settings):
    """Questions that verifiers need for themselves, since a verifier's prompts are never reused for RL
    (reward_bridge.md 1.4, 4.1). Shares are of the questions that would be RL's, by key.
    """

    explore: float = Field(0.4, gt=0, lt=1, description="where verifiers get their judgements")
    calib: float = Field(0.1, gt=0, lt=1, description="where verifiers are calibrated")

    @model_validator(mode="after")
    def _rest(self) -> VerifierShares:
        if self.explore + self.calib >= 1:
            raise ValueError("explore + calib must stay below 1: nothing would be left for RL")
        return self


class CorpusParams(Settings):
    """One set of questions and demonstrations. Every field is identity: changing it makes the set stale, and
    what depends on it if the records change.
    """

    raw: str = Field(
        min_length=1,
        description="file or folder of raw data, relative to the project; the stage's declared dependency",
    )
    sources: dict[str, Annotated[CorpusSource, READERS]] = Field(
        {}, description="named sources; their paths are relative to raw"
    )
    exams: ExamSetParams | None = Field(
        None,
        description="in place of sources: published exams, split by cluster; raw is data/exams",
    )
    unseen: tuple[str, ...] = Field(
        (), description="subjects of the exams that are completely held out; sources name their own"
    )
    verifier: VerifierShares | None = Field(
        None, description="questions of sources put aside for verifiers; exams have shares of their own"
    )
    wording: WordingParams | None = Field(
        None, description="null: demonstrations and answers as the sources state them"
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

    @property
    def for_verifiers(self) -> bool:
        """Returns whether questions are set aside for verifiers: the files explore and calib."""
        return self.exams is not None or self.verifier is not None

    @model_validator(mode="after")
    def _one_origin(self) -> CorpusParams:
        if bool(self.sources) == (self.exams is not None):
            raise ValueError("give either sources or exams")
        if self.unseen and self.exams is None:
            raise ValueError("unseen belongs to exams; a source names its own unseen subjects")
        if self.verifier and self.exams is not None:
            raise ValueError("verifier belongs to sources; exams.shares divides exams")
        return self

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
