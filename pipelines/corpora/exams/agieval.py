"""AGIEval (Zhong et al. 2023): passage, question, options `(A)...` and a label, or a cloze answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.exams.item import Item
from pipelines.corpora.exams.published_exam import items, place
from pipelines.corpora.raw.columns import text
from pipelines.corpora.raw.problem import Reading
from pipelines.settings import Choice


def read(options: Choice, reading: Reading) -> Iterator[Item]:
    """All `*.jsonl` of the folder."""
    return items(reading, ("*.jsonl",), convert)


def convert(row: Mapping[str, Any]) -> Item:
    """Rows `{passage, question, options, label, answer}`."""
    return Item(
        id=text(row, "_id"),
        question=text(row, "question"),
        subject=text(row, "_subject"),
        domain=str(row.get("_domain", "")),
        language=str(row.get("_lang", "en")),
        answer=str(row.get("answer") or ""),
        options=tuple(row.get("options") or ()),
        gold=place(row.get("label")),
        passage=bool(str(row.get("passage") or "").strip()),
    )
