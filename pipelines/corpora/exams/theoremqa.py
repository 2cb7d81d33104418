"""TheoremQA (Chen et al. 2023): numbers, booleans and lists; questions with a picture or with options in
their text are left out.
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
    """Yields the rows of `theoremqa.jsonl`."""
    return items(reading, ("theoremqa.jsonl*",), convert)


def convert(row: Mapping[str, Any]) -> ExamItem:
    """Converts a row `{Question, Answer, Answer_type, Picture}`; an `option` answer becomes a multiple choice
    without a gold option. Raises BadRow.
    """
    kind = row.get("Answer_type")
    return ExamItem(
        id=text(row, "_id"),
        question=text(row, "Question"),
        subject=text(row, "_subject"),
        domain=str(row.get("_domain", "")),
        language="en",
        answer="" if kind == "option" else answer_text(parse_literal(row.get("Answer"))),
        options=("?",) if kind == "option" else (),
        passage=bool(row.get("Picture")),
        meta={"theorem": row.get("theorem"), "answer_type": kind},
    )


def answer_text(value: Any) -> str:
    """Returns the answer as text: `true` as `True`, `[1, 2.0]` as `[1, 2]`, other numbers as `repr` gives
    them. Raises BadRow.
    """
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, (int, str)) and str(value).strip():
        return str(value).strip()
    if isinstance(value, float) and value == value:
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, list) and value:
        return f"[{', '.join(answer_text(part) for part in value)}]"
    raise BadRow("Answer is no number, boolean, text or list")
