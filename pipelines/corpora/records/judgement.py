"""One judged response as verifiers learn from it and are measured on it: question, reference, response, and
who said what of it.

`label` is what the verifier is to say: a teacher's verdict while a policy explored, or an exact label.
`truth` is the exact label where the set has one; what a verifier is worth is measured against it alone
(reward_bridge.md 4.1, 7.5).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipelines.corpora.records.json_lines import STRICT, read_json_lines

Label = Annotated[int, Field(ge=0, le=1)]
NotBlank = Annotated[str, Field(pattern=r"\S")]
QUESTIONS = "questions.jsonl"  # beside them: the held-out questions as records, for the laboratory


@dataclass(frozen=True, config=STRICT)
class Judgement:
    """`step` is the number of updates that the policy had made; `probability` the teacher's own of label 1,
    where it has one.
    """

    id: NotBlank
    question_id: NotBlank
    question: NotBlank
    reference: NotBlank
    response: str
    label: Label
    teacher: NotBlank
    subject: str = ""
    source: str = ""
    step: int = 0
    truth: Label | None = None
    probability: float | None = None


FIELDS = tuple(item.name for item in fields(Judgement))


def write_judgements(path: str | Path, judgements: Iterable[Judgement]) -> None:
    """One JSON object a line; the file appears whole."""
    temporary = Path(f"{path}.tmp")
    with open(temporary, "w", encoding="utf-8") as stream:
        stream.writelines(
            json.dumps(asdict(judgement), ensure_ascii=False) + "\n" for judgement in judgements
        )
    os.replace(temporary, path)


def read_judgements(path: str | Path) -> list[Judgement]:
    """All rows in order. ValueError names file, line and reason: a damaged file is to be restored, not
    trained on.
    """
    return read_json_lines(path, Judgement, "run the stage that made it again")


def distinct(judgements: Iterable[Judgement], last_line: bool = True) -> list[Judgement]:
    """The first of equal (question, reference, last line, label): a verifier sees no more of a response than
    its last line.
    """
    seen: dict[tuple[str, str, str, int], Judgement] = {}
    for each in judgements:
        shown = (
            next((line.strip() for line in reversed(each.response.splitlines()) if line.strip()), "")
            if last_line
            else each.response
        )
        seen.setdefault((each.question, each.reference, shown, each.label), each)
    return list(seen.values())
