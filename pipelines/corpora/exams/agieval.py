"""AGIEval (Zhong et al. 2023): passage, question, options `(A)...` and a label, or a cloze answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.exams.item import ExamItem
from pipelines.corpora.exams.published_exam import items, letter_index
from pipelines.corpora.raw.columns import text
from pipelines.corpora.raw.problem import Reading
from pipelines.settings import Choice


def read(options: Choice, reading: Reading) -> Iterator[ExamItem]:
    """Yields the rows of all `*.jsonl` of the folder."""
    return items(reading, ("*.jsonl",), convert)


def convert(row: Mapping[str, Any]) -> ExamItem:
    """Converts a row `{passage, question, options, label, answer}`. Raises BadRow."""
    return ExamItem(
        id=text(row, "_id"),
        question=text(row, "question"),
        subject=text(row, "_subject"),
        domain=str(row.get("_domain", "")),
        language=str(row.get("_lang", "en")),
        answer=str(row.get("answer") or ""),
        options=tuple(row.get("options") or ()),
        gold=letter_index(row.get("label")),
        passage=bool(str(row.get("passage") or "").strip()),
    )
