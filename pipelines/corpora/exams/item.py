"""What an exam's reader yields, and what is left of it after conversion: a question that stands alone, with a
reference answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Item:
    """A row as published. With `options` it is multiple choice, `gold` the place of the right one (None:
    several, or not resolvable); without, `answer` is the reference. `passage`: a text, table or picture that
    the question needs and does not hold.
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
class Exam:
    """A free-form exam question. `field` is one of `subjects.FIELDS`, `shape` one of `shapes.SHAPES`; `key`
    is its near-duplicate cluster, once it has one; `meta` may hold options (for audits only), alternatives
    and tolerance of the answer.
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
        """For a JSONL file; the corpus' table reader takes question, answer, subject and key of it."""
        return asdict(self)
