"""Options of the readers."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.corpora.raw.sources_params import (
    FileRole,
    GeneratedSource,
    Level,
    Normalise,
    SplitSource,
)
from pipelines.settings import Seam, Settings


class CodeSource(SplitSource):
    """Code problems with tests, for the checker `code_tests`."""

    layout: Annotated[str, Seam("pipelines.corpora.code", "convert(row, source)")] = Field(
        description="the form of the rows: mbpp, human_eval, apps, …"
    )
    numbers: dict[FileRole, tuple[int, int]] = Field(
        {},
        description=(
            "where one file holds all roles: first and last number in the ids of each; absent: as `splits` "
            "says"
        ),
    )
    exclude: tuple[str, ...] = Field(
        (), description="ids of problems that are left out: those whose own solution fails"
    )
    demonstrations: Literal["program", "completion"] = Field(
        "program", description="the complete solution, or the completion of the prompt's own code"
    )

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        ranges = sorted(self.numbers.values())
        if any(last < first for first, last in ranges) or any(
            left[1] >= right[0] for left, right in pairwise(ranges)
        ):
            raise ValueError("numbers: ranges must run upwards and must not overlap")
        if self.numbers and len(self.splits) > 1:
            raise ValueError("numbers place the rows of one file; name one split only")
        return self


class DialoguesSource(SplitSource):
    """Preference data as demonstrations: the preferred answers of dialogues. Its prompts serve RL as well; no
    answer can be checked.
    """

    normalise: Normalise = False
    layout: Annotated[str, Seam("pipelines.corpora.pairs", "preference(row, side, source)")] = Field(
        description="columns chosen and rejected as complete dialogues, or conversations and chosen"
    )


class ExamSubjects:
    """Kinds of problem of the embedded exam."""

    Subject = Literal["chain", "add", "money", "count", "max", "clock"]


class ExamSource(GeneratedSource):
    """The embedded exam: problems are generated, solved and checked by the project itself, with words from a
    lexicon file.
    """

    lexicon: str = Field("lexicon.jsonl", description="JSONL of {kind: name|thing|gain|loss, word}")
    subjects: tuple[ExamSubjects.Subject, ...] = Field(
        ("chain", "add", "money", "count", "max"), min_length=1, description="kinds of problem that are made"
    )
    lengths: dict[ExamSubjects.Subject, Annotated[int, Field(ge=0, le=20)]] = Field(
        {"chain": 1, "add": 0, "money": 0, "count": 3, "max": 2, "clock": 0},
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

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [subject for subject in self.subjects if subject not in self.lengths]
        if missing:
            raise ValueError(f"lengths must name every subject; missing: {', '.join(missing)}")
        if len(set(self.subjects)) < len(self.subjects):
            raise ValueError("subjects names one twice")
        return self


class MessageColumns(Settings):
    """The columns of the table; a row needs those of one layout. A dot goes into nested columns."""

    messages: str = Field(
        "messages", description="a complete conversation: a list of {role, content} or {from, value}"
    )
    prompt: str = Field("prompt", description="with `completion`: text, or a list of turns")
    input: str | None = Field(
        None, description="a text that follows `prompt` after an empty line, as Alpaca's `input`"
    )
    completion: str = Field(
        "completion", description="text, or a list of turns, of which those of the assistant are learnt"
    )
    text: str = Field("text", description="a text without a prompt, all of which is learnt")
    tools: str = Field(
        "tools", description="JSON schemas of tools beside a conversation, where the row has them"
    )
    key: str | None = Field(
        None,
        description=(
            "rows with an equal value stay on one side of the split; null: the first turn of the user"
        ),
    )


class MessagesSource(SplitSource):
    """Demonstrations in the layouts that TRL documents: `messages`, `prompt` and `completion`, or `text`. A
    row's columns say which.
    """

    columns: MessageColumns = MessageColumns()
    loss: Literal["every", "last"] = Field(
        "every",
        description=(
            "of a conversation every turn of the assistant is learnt, or the last only; a turn's end is "
            "learnt with it"
        ),
    )


class PhraseSubjects:
    """Kinds of question of the embedded multi-subject set."""

    Subject = Literal["holder", "order", "amount", "rule", "both"]


class PhrasesSource(GeneratedSource):
    """The embedded multi-subject set: generated questions whose answers are phrases; checked by
    `phrase_answer`.
    """

    lexicon: str = Field(
        "lexicon.jsonl", description="JSONL of {kind: name|thing|place|animal|need|unit, word}"
    )
    subjects: tuple[PhraseSubjects.Subject, ...] = Field(
        ("holder", "order", "amount", "rule", "both"),
        min_length=1,
        description="kinds of question that are made",
    )
    unseen: tuple[PhraseSubjects.Subject, ...] = Field(
        (), description="subjects without demonstrations and RL prompts: only validation and held-out"
    )
    sft_levels: tuple[Level, ...] = Field((1, 2), min_length=1, description="levels with demonstrations")
    rl_levels: tuple[Level, ...] = Field(
        (1, 2, 3), min_length=1, description="levels of RL prompts, validation and held-out problems"
    )
    terse: float = Field(
        0.5, ge=0, le=1, description="share of demonstrations that give the bare answer, without the working"
    )

    @model_validator(mode="after")
    def _seen(self) -> Self:
        if not set(self.subjects) - set(self.unseen):
            raise ValueError("unseen names every subject; at least one must have demonstrations")
        return self


class TableColumns(Settings):
    """The columns of the table. A dot goes into nested columns: `answer.value`."""

    question: str = Field("question", description="text, or a list of turns that ends with the user's")
    answer: str | None = Field(
        "answer",
        description="the reference that responses are checked against; null: there is none, and the reward "
        "needs none",
    )
    solution: str | None = Field(
        None, description="demonstration; null: none, or the text before answer_after"
    )
    subject: str | None = Field(None, description="null: the source's own name")
    level: str | None = Field(None, description="a whole number, or text with one in it")
    key: str | None = Field(
        None, description="rows with an equal value stay on one side of the split; null: the question"
    )


class TableSource(SplitSource):
    """Any Hugging Face dataset id, or local JSONL, CSV and Parquet files, with a mapping of columns."""

    columns: TableColumns = TableColumns()
    keep: tuple[str, ...] = Field(
        (), description="further columns that a reward function of one's own reads, by their own names"
    )
    normalise: Normalise = False
    answer_after: str | None = Field(
        None,
        description="the answer is what follows this text for the last time in its column, as #### in GSM8K",
    )

    @model_validator(mode="after")
    def _answered(self) -> Self:
        if self.answer_after is not None and self.columns.answer is None:
            raise ValueError("answer_after looks in the column of answers, and columns.answer is null")
        return self

    @model_validator(mode="after")
    def _demonstrated(self) -> Self:
        if "sft" in self.splits and self.columns.solution is None and self.answer_after is None:
            raise ValueError(
                "splits.sft has no demonstrations: name their column as columns.solution, or give the rows "
                "the role rl"
            )
        return self


class WordProblemsSource(GeneratedSource):
    """One-step word problems, generated from a file of wordings; checked by `final_answer`. `heldout_share`
    and `validation_share` are shares of the wordings.
    """

    words: str = Field(
        "words.jsonl",
        description=(
            "JSONL of {kind: +|-|*|/, word: a wording with {a} and {b}, perhaps {name}, {other}, {thing}} "
            "and {kind: name|thing, word}"
        ),
    )
    operations: tuple[Literal["+", "-", "*", "/"], ...] = Field(
        ("+", "-", "*", "/"), min_length=1, description="operations, as many problems of each"
    )
    operand_max: int = Field(12, ge=4, le=999, description="largest number in a question, from 2 on")
    n_sft: int = Field(ge=0, le=1_000_000, description="demonstrations that are made")

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len(set(self.operations)) < len(self.operations):
            raise ValueError("operations names one twice")
        return self
