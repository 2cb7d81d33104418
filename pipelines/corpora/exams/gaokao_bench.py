"""GAOKAO-Bench (Zhang et al. 2023): single-choice questions with their options inside the text, and
fill-in-the-blank answers.

Open questions have complete derivations or essays as answers and are left out, counted; questions with
several parts have several answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.exams.item import ExamItem
from pipelines.corpora.exams.published_exam import items, letter_index
from pipelines.corpora.raw.columns import text
from pipelines.corpora.raw.problem import Reading
from pipelines.settings import Choice

OPTION = re.compile(r"(?:(?<=[\s）)\u3000])|^|(?<=[。？?，,;；]))([A-D])\s*[．.、]\s*", re.M)
READING = ("Reading", "Cloze", "Fill_in_Blanks", "Modern_Lit")


def read(options: Choice, reading: Reading) -> Iterator[ExamItem]:
    """Yields the rows of `objective.jsonl` and the short answers of `subjective.jsonl`."""
    return items(reading, ("objective.jsonl*", "subjective.jsonl*"), convert)


def convert(row: Mapping[str, Any]) -> ExamItem:
    """Converts a row `{question, answer, _kind}`. An item whose options cannot be told apart has no gold
    option. Raises BadRow.
    """
    question, kind, subject = text(row, "question"), row.get("_kind"), text(row, "_subject")
    answer, gold = "", None
    options: tuple[str, ...] = ()
    if kind == "short":
        answer = str(row.get("answer") or "")
    elif kind != "free":
        stem, *split = split_options(question)
        if kind == "mcq_single" and split:
            question, options, gold = stem, tuple(split), letter_index(row.get("answer"))
        else:
            options = ("?",)
    return ExamItem(
        id=text(row, "_id"),
        question=question,
        subject=re.sub(r"_(?:MCQs|Fill-in-the-Blank)$", "", subject),
        domain=str(row.get("_domain", "")),
        language=str(row.get("_lang", "zh")),
        answer=answer,
        options=options,
        gold=gold,
        passage=any(part in subject for part in READING),
    )


def split_options(question: str) -> list[str]:
    """Returns [stem, A, B, C, D], or [question] when the four letters do not occur once each and in order."""
    marks = list(OPTION.finditer(question))
    if [mark[1] for mark in marks] != list("ABCD"):
        return [question]
    ends = [*(mark.start() for mark in marks[1:]), len(question)]
    return [
        question[: marks[0].start()],
        *(question[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)),
    ]
