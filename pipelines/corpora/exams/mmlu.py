"""MMLU (Hendrycks et al. 2021): question, four choices, a letter; 57 subjects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.exams.item import ExamItem
from pipelines.corpora.exams.published_exam import items, letter_index
from pipelines.corpora.raw.columns import BadRow, text
from pipelines.corpora.raw.problem import Reading
from pipelines.settings import Choice


def read(options: Choice, reading: Reading) -> Iterator[ExamItem]:
    """Yields the rows of dev, val and test: the split here is by cluster, not the publisher's."""
    return items(reading, ("dev.jsonl*", "val.jsonl*", "test.jsonl*"), convert)


def convert(row: Mapping[str, Any]) -> ExamItem:
    """Converts a row `{question, choices, answer}` with `_id`, `_subject`, `_domain`. Raises BadRow."""
    choices = row.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise BadRow("choices is no list of texts")
    return ExamItem(
        id=text(row, "_id"),
        question=text(row, "question"),
        subject=text(row, "_subject"),
        domain=str(row.get("_domain", "")),
        language=str(row.get("_lang", "en")),
        options=tuple(choices),
        gold=letter_index(row.get("answer")),
    )
