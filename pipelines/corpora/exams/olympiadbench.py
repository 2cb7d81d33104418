"""OlympiadBench's open-ended English questions (He et al. 2024): numbers, expressions, tuples, intervals;
some have a unit and a tolerance.
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
    """Yields the rows of all `OE_TO_*.jsonl` of the folder."""
    return items(reading, ("OE_TO_*.jsonl*",), convert)


def convert(row: Mapping[str, Any]) -> ExamItem:
    """Converts a row `{context, question, final_answer, unit, error}`; the context (constants, preceding
    text) is put before the question. Raises BadRow.
    """
    answers = parse_literal(row.get("final_answer"))
    if not isinstance(answers, list) or not answers or not all(isinstance(answer, str) for answer in answers):
        raise BadRow("final_answer is no list of texts")
    unit = str(row.get("unit") or "").strip(" ,")
    answer = answers[0].strip() if len(answers) == 1 else "; ".join(answer.strip() for answer in answers)
    multiple = bool(row.get("is_multiple_answer"))
    if unit and not multiple:
        answer = f"{answer} {unit}"
    context, question = str(row.get("context") or "").strip(), text(row, "question")
    return ExamItem(
        id=text(row, "_id"),
        question=f"{context}\n\n{question}" if context else question,
        subject=text(row, "_subject"),
        domain=str(row.get("_domain", "")),
        language="en",
        answer=answer,
        meta={
            "tolerance": row.get("error"),
            "unit": unit,
            "answer_type": row.get("answer_type"),
            "multiple": multiple,
        },
    )
