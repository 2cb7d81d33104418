"""Undergraduate STEM problems of Minerva (Lewkowycz et al. 2022): LaTeX answers in several spellings, of
which the first is the reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.exams.item import ExamItem
from pipelines.corpora.exams.published_exam import items, parse_literal
from pipelines.corpora.raw.columns import BadRow, text
from pipelines.corpora.raw.problem import Reading
from pipelines.settings import Choice


def read(options: Choice, reading: Reading) -> Iterator[ExamItem]:
    """Yields the rows of `minerva.jsonl`."""
    return items(reading, ("minerva.jsonl*",), convert)


def convert(row: Mapping[str, Any]) -> ExamItem:
    """Converts a row `{problem, answer}`. Raises BadRow."""
    answers = parse_literal(row.get("answer"))
    answers = [answers] if isinstance(answers, str) else answers
    if not isinstance(answers, list) or not answers or not str(answers[0]).strip():
        raise BadRow("answer is no list of texts")
    distinct = list(dict.fromkeys(str(answer).strip() for answer in answers))
    return ExamItem(
        id=text(row, "_id"),
        question=text(row, "problem"),
        subject=str(row.get("_subject", "undergraduate_stem")),
        domain=str(row.get("_domain", "")),
        language="en",
        answer=distinct[0],
        meta={"alternatives": distinct[1:]},
    )
