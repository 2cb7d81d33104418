"""Options of the readers of exams."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.corpora.raw.location_params import Location
from pipelines.settings import Choice


class MultiSubjectParams(Choice, Location):
    """`virtuoussy/Multi-subject-RLVR` and sets with its layout: chat messages, a reference and a subject."""

    kind: Literal["multi_subject"] = "multi_subject"
    splits: tuple[str, ...] = Field(
        ("train",), min_length=1, description="splits of the dataset, or files below the origin"
    )
    query: str = Field("query", description="column of the chat messages, or of a plain question")
    label: str = Field("label", description="column of the reference answer")
    subject: str = Field(
        "subject", description="column of the subject: a name or a code of the national standard"
    )
    limit: int | None = Field(None, ge=1, description="rows read of a split, the first ones; null: all")


class PubmedqaParams(Choice):
    """The labelled questions of PubMedQA. Abstracts are left out either way: the question must make sense on
    its own.
    """

    kind: Literal["pubmedqa"] = "pubmedqa"
    reference: Literal["decision", "conclusion"] = Field(
        "decision", description="yes/no/maybe, or the abstract's concluding sentences"
    )
