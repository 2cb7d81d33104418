"""GSM8K with sentences as references, from its published model solutions (reward_bridge.md 7.1).

Each question has four published solutions with exact labels (the final numbers are equal or not). With
numbers as references a rule is perfect and no verifier can do better; here the reference is the last sentence
of the human solution and the candidate the last sentence of the model's, so that the label stays exact while
equality of strings no longer decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.raw.rows import read_rows
from pipelines.corpora.records.judgement import Judgement

MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
SPAN = re.compile(r"<<[^<>\n]*(?:>>)?")  # the last one of a solution that was cut off stays open
FINAL = re.compile(r"\s*A:(?P<answer>.*)\Z", re.DOTALL)
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9$])|\n+")


def read(path: Path, ledger: Ledger) -> Iterator[Judgement]:
    """Yields judgements of all solutions, question by question. A row without question, human solution or a
    label is recorded in the ledger; a solution without a sentence is an empty response and keeps its label.
    """
    for where, row in read_rows(path, ledger):
        try:
            question = _text(row, "question")
            reference = last_sentence(_text(row, "ground_truth"))
            if not reference:
                raise ValueError("ground_truth has no sentence before its A:")
            name = f"gsm8k:{where.rpartition(':')[2]}"
            yield from [_judgement(row, model, name, question, reference) for model in MODELS]
            ledger.accept()
        except ValueError as error:
            ledger.reject(where, str(error))


def last_sentence(solution: str) -> str:
    """Returns the last sentence of the working, without calculator annotations and the line `A: ...`."""
    working = SPAN.sub("", FINAL.sub("", solution)).strip()
    return SENTENCE.split(working)[-1].strip() if working else ""


def final_number(solution: str) -> str:
    """Returns the text after the last `A:` without spaces and thousands commas; empty where a solution has
    none.
    """
    match = FINAL.search(solution)
    return match["answer"].strip().replace(",", "") if match else ""


def _judgement(row: dict[str, Any], model: str, name: str, question: str, reference: str) -> Judgement:
    cell = row.get(model)
    if (
        not isinstance(cell, dict)
        or not isinstance(cell.get("solution"), str)
        or type(cell.get("is_correct")) is not bool
    ):
        raise ValueError(f"{model} must hold solution (text) and is_correct (true or false)")
    label = int(cell["is_correct"])
    return Judgement(
        f"{name}:{model}",
        name,
        question,
        reference,
        last_sentence(cell["solution"]),
        label,
        "published",
        model,
        "gsm8k",
        truth=label,
    )


def _text(row: dict[str, Any], column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{column} must be text that is not blank")
    return value
