"""The sections `exams.NAME` (one published exam, read and converted) and `rlvr` (the united exams: clustered,
split, decontaminated).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.settings import Choice, Seam, Settings

EXAMS = Seam("pipelines.corpora.exams", "read(options, reading)")
ExamSplit = Literal["explore", "rl", "calib", "test"]
SPLITS: tuple[ExamSplit, ...] = ("explore", "rl", "calib", "test")


class ExamsParams(Settings):
    """One exam. Every field is identity."""

    origin: str = Field(
        min_length=1,
        description="folder or file of raw data, relative to the project; the declared dependency",
    )
    source: Annotated[Choice, EXAMS] = Field(description="how the raw data reads, and its options")
    max_bad_rows: float = Field(
        0.01, ge=0, lt=1, description="share of the raw rows that may be bad; above it the stage fails"
    )
    max_question_words: int = Field(
        400, ge=10, description="longer questions are left out, counted; a CJK character is half a word"
    )
    max_answer_words: int = Field(60, ge=1, description="longer references are left out, counted")


class OverlapParams(Settings):
    """What removes a training question because it contains a test question (reward_bridge.md 1.4.8)."""

    words: int = Field(
        13, ge=5, description="words in a row that no training question may share with a test question"
    )
    characters: int = Field(20, ge=8, description="the same for Chinese text, in characters")
    common: int = Field(
        10,
        ge=1,
        description="a run that more than this many training questions share is a common phrase",
    )
    jaccard: float = Field(
        0.6, gt=0, le=1, description="similarity of shingles from which a question counts as the test's"
    )


class SplitShares(Settings):
    """Shares of the clusters: prompts for collecting judgements, for RL, for calibration, and for
    reporting.
    """

    explore: float = Field(
        0.3, ge=0, le=1, description="share that a policy explores, for judgements that verifiers learn from"
    )
    rl: float = Field(0.5, ge=0, le=1, description="share that policies learn on")
    calib: float = Field(0.1, ge=0, le=1, description="share that verifiers are calibrated on")
    test: float = Field(0.1, gt=0, le=1, description="share that is reported on, and nothing else")

    @model_validator(mode="after")
    def _whole(self) -> SplitShares:
        total = self.explore + self.rl + self.calib + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the shares of explore, rl, calib and test must sum to 1, not {total:g}")
        return self


class ExamSetParams(Settings):
    """The united exams. Every field is identity."""

    exams: tuple[str, ...] = Field(
        min_length=1, description="names of exams; where two ask the same, the earlier one's row stays"
    )
    near: float = Field(
        0.8, gt=0, le=1, description="Jaccard similarity of shingles that makes two questions one cluster"
    )
    word_shingle: int = Field(3, ge=1, le=20, description="words per shingle")
    character_shingle: int = Field(5, ge=1, le=40, description="characters per shingle of CJK text")
    permutations: int = Field(128, ge=16, le=1024, description="length of a MinHash signature")
    shares: SplitShares = SplitShares()
    overlap: OverlapParams = OverlapParams()
    limits: dict[str, Annotated[int, Field(ge=1)]] = Field(
        {}, description="questions kept of an exam, by hash; absent: all"
    )
    against: tuple[str, ...] = Field(
        (), description="exams that are evaluated elsewhere: none of their questions stays in any split"
    )

    @model_validator(mode="after")
    def _apart(self) -> ExamSetParams:
        if shared := sorted({*self.exams} & {*self.against}):
            raise ValueError(
                f"{', '.join(shared)}: named in exams and in against; questions are either part of the set "
                f"or kept out of it"
            )
        if unknown := sorted({*self.limits} - {*self.exams}):
            raise ValueError(f"limits of {', '.join(unknown)}: no such name in exams")
        return self
