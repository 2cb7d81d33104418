"""One judged response as verifiers are trained and measured on it: question, reference, response and labels.

`label` is what the verifier should predict: a teacher's verdict while a policy explored, or an exact label.
`truth` is the exact label where the set has one; a verifier is measured against it alone (reward_bridge.md
4.1, 7.5).
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
QUESTIONS = "questions.jsonl"  # in the same folder: the held-out questions as records, for the laboratory


@dataclass(frozen=True, config=STRICT)
class Judgement:
    """`step`: the number of updates of the policy when it wrote the response; `probability`: the teacher's
    probability of label 1, where it has one.
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
    """Writes one JSON object per line. The file is replaced atomically."""
    temporary = Path(f"{path}.tmp")
    with open(temporary, "w", encoding="utf-8") as stream:
        stream.writelines(
            json.dumps(asdict(judgement), ensure_ascii=False) + "\n" for judgement in judgements
        )
    os.replace(temporary, path)


def read_judgements(path: str | Path) -> list[Judgement]:
    """Returns all rows, in order. Raises ValueError, naming file, line and reason: a damaged file must be
    restored, not trained on.
    """
    return read_json_lines(path, Judgement, "run the stage that made it again")


def distinct(judgements: Iterable[Judgement], last_line: bool = True) -> list[Judgement]:
    """Returns the first of the judgements with equal (question, reference, response, label), in order. With
    `last_line` only the last line of a response is compared: a verifier sees no more of it.
    """
    seen: dict[tuple[str, str, str, int], Judgement] = {}
    for judgement in judgements:
        response = (
            next((line.strip() for line in reversed(judgement.response.splitlines()) if line.strip()), "")
            if last_line
            else judgement.response
        )
        seen.setdefault((judgement.question, judgement.reference, response, judgement.label), judgement)
    return list(seen.values())
