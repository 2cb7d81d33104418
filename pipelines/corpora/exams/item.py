"""What an exam's reader yields, and what it is converted to: a question that makes sense on its own, with a
reference answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ExamItem:
    """A row as published. With `options` it is multiple choice, and `gold` is the index of the right option
    (None: several, or unknown); without, `answer` is the reference. `passage`: it needs a text, table or
    picture that it does not contain.
    """

    id: str
    question: str
    subject: str
    domain: str
    language: str
    answer: str = ""
    options: tuple[str, ...] = ()
    gold: int | None = None
    passage: bool = False
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class ExamQuestion:
    """A free-form exam question. `field` is one of `subjects.FIELDS`, `shape` one of `shapes.SHAPES`; `key`
    identifies its near-duplicate cluster, once that is known; `meta` may hold options (for audits only),
    alternatives and tolerance of the answer.
    """

    id: str
    question: str
    answer: str
    subject: str
    field: str
    source: str
    language: str
    shape: str
    key: str = ""
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Returns the row of a JSONL file; the corpus' table reader takes question, answer, subject and key
        of it.
        """
        return asdict(self)
