"""Options of the embedded exam."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipelines.corpora.raw.sources_params import Level, Source

Subject = Literal["chain", "add", "money", "count", "max", "clock"]
LENGTHS: dict[Subject, int] = {"chain": 1, "add": 0, "money": 0, "count": 3, "max": 2, "clock": 0}


class ExamSource(Source):
    """The embedded exam: problems are generated, worked out and checked by the project itself, with words
    from a lexicon file.
    """

    generates: ClassVar[bool] = True
    lexicon: str = Field("lexicon.jsonl", description="JSONL of {kind: name|thing|gain|loss, word}")
    subjects: tuple[Subject, ...] = Field(
        ("chain", "add", "money", "count", "max"), min_length=1, description="kinds of problem that are made"
    )
    lengths: dict[Subject, Annotated[int, Field(ge=0, le=20)]] = Field(
        LENGTHS,
        description=(
            "operations (chain, add, money, clock), letters (count) or numbers (max) at level L are L plus "
            "this"
        ),
    )
    start_max: int = Field(
        60, ge=9, le=999, description="largest first number of add and money, and largest result of money"
    )
    operand_max: int = Field(
        9, ge=3, le=99, description="largest further number of chain, add and money, from 2 (chain: 1) on"
    )
    operations: Literal["+-", "+-*"] = Field("+-", description="what chain uses")
    letters: int = Field(3, ge=2, le=8, description="different letters in the words of count")
    sft_levels: tuple[Level, ...] = Field((1, 2), min_length=1, description="levels with demonstrations")
    rl_levels: tuple[Level, ...] = Field(
        (1, 2, 3, 4), min_length=1, description="levels of RL prompts, validation and held-out problems"
    )
    terse: float = Field(
        0.5, ge=0, le=1, description="share of demonstrations that give the bare answer, without the working"
    )
    slip: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="chance that a written result of a demonstration is wrong, and carried on",
    )
    n_sft: int = Field(ge=1, le=1_000_000, description="demonstrations that are made")
    n_rl: int = Field(ge=1, le=1_000_000, description="RL problems that are made")
    n_validation: int = Field(ge=1, le=100_000, description="validation problems that are made")
    n_heldout: int = Field(ge=1, le=100_000, description="held-out problems that are made")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [subject for subject in self.subjects if subject not in self.lengths]
        if missing:
            raise ValueError(f"lengths must name every subject; missing: {', '.join(missing)}")
        if len(set(self.subjects)) < len(self.subjects):
            raise ValueError("subjects names one twice")
        return self
