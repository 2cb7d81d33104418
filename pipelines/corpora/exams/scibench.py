"""SciBench (Wang et al. 2023): numbers with a unit; a power of ten in the unit belongs to the number (`1.5`,
`$10^7 \\mathrm{km}$`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.exams.item import ExamItem
from pipelines.corpora.exams.published_exam import items
from pipelines.corpora.raw.columns import BadRow, text
from pipelines.corpora.raw.problem import Reading
from pipelines.settings import Choice

POWER = re.compile(r"^(?:\\mathrm\{)?10\s*\^\s*\{?\s*([+-]?\d+)\s*\}?\}?")
NUMBER = re.compile(r"[+-]?(?:\d+(?:,\d{3})*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")


def read(options: Choice, reading: Reading) -> Iterator[ExamItem]:
    """Yields the rows of `problems.jsonl` and `with_solutions.jsonl`."""
    return items(reading, ("problems.jsonl*", "with_solutions.jsonl*"), convert)


def convert(row: Mapping[str, Any]) -> ExamItem:
    """Converts a row `{problem_text, answer_number, unit, solution?}`. Raises BadRow."""
    return ExamItem(
        id=text(row, "_id"),
        question=text(row, "problem_text"),
        subject=text(row, "_subject"),
        domain=str(row.get("_domain", "")),
        language="en",
        answer=reference(text(row, "answer_number"), str(row.get("unit") or "")),
        meta={"solution": str(row.get("solution") or ""), "source": row.get("source")},
    )


def reference(number: str, unit: str) -> str:
    """Returns `82258 \\mathrm{~cm}^{-1}` for `82258` and ` $\\mathrm{~cm}^{-1}$`. Raises BadRow where the
    number is none.
    """
    number = number.replace("−", "-").strip().lstrip("+")
    if not NUMBER.fullmatch(number):
        raise BadRow("answer_number is no number")
    unit = unit.strip().rstrip(";").strip()
    if unit == "$":
        return f"\\${number}"
    unit = unit.replace("$", " ").strip()
    power = POWER.match(unit)
    if power:
        number, unit = f"{number} \\times 10^{{{int(power[1])}}}", unit[power.end() :].strip()
    if unit in ("\\circ", "{\\circ}"):
        unit = "^\\circ"
    unit = unit.replace("\\text {", "\\text{").strip("; ").strip()
    return f"{number}{unit}" if unit in ("%", "\\%", "^\\circ", "^{\\circ}") else f"{number} {unit}".strip()
