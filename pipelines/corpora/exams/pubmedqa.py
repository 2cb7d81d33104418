"""PubMedQA's labelled part (Jin et al. 2019): questions about biomedical findings, answered yes, no or maybe,
with a written conclusion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.exams.item import ExamItem
from pipelines.corpora.exams.options import PubmedqaParams
from pipelines.corpora.exams.published_exam import items
from pipelines.corpora.raw.columns import BadRow, text
from pipelines.corpora.raw.problem import Reading


def read(options: PubmedqaParams, reading: Reading) -> Iterator[ExamItem]:
    """Yields the rows of `pqal.jsonl`."""

    def convert(row: Mapping[str, Any]) -> ExamItem:
        decision, conclusion = text(row, "final_decision"), text(row, "LONG_ANSWER")
        if decision not in ("yes", "no", "maybe"):
            raise BadRow("final_decision is not yes, no or maybe")
        return ExamItem(
            id=text(row, "_id"),
            question=text(row, "QUESTION"),
            subject="medicine",
            domain=str(row.get("_domain", "medicine")),
            language="en",
            answer=decision if options.reference == "decision" else conclusion,
            meta={"decision": decision, "conclusion": conclusion},
        )

    return items(reading, ("pqal.jsonl*",), convert)
