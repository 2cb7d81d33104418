"""One row of a set as it lies on disk: text and turns that people can read, bound to no tokenizer.

A stage that trains or asks a model renders and tokenises the rows with the model's own contract
(pipelines/corpora/records/tokenised.py). A file of examples is our own output, so a bad row in
it is damage, not noise.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import SkipValidation
from pydantic.dataclasses import dataclass

from pipelines.corpora.records.json_lines import STRICT, Text, read_json_lines
from pipelines.models.chat import Loss
from pipelines.models.tokenizer import LONE_SURROGATE


@dataclass(frozen=True, config=STRICT)
class Example:
    """`response`: the demonstration, None where there is none. `conversation`: the turns as
    `Conversation.as_json` has them, where the raw row held turns; `prompt` is then the transcript of what is
    asked. `loss`: what a demonstration teaches, as in `Problem`.
    """

    id: Text
    prompt: Text
    response: str | None
    answer: Text
    subject: Text
    level: int | None
    source: Text
    meta: SkipValidation[Mapping[str, Any]] = field(default_factory=dict)
    conversation: SkipValidation[Mapping[str, Any] | None] = None
    loss: Loss | Literal["text"] = "last"


FIELDS = tuple(item.name for item in fields(Example))
CHAT: Mapping[str, Any] = {"conversation": None, "loss": "last"}  # written only where they say something


def half_character(*texts: str) -> str:
    """Why no file can hold one of the texts; empty where all can be written."""
    lone = next((match for text in texts if (match := LONE_SURROGATE.search(text))), None)
    return f"holds half of a character (U+{ord(lone.group()):04X}), which no encoding has" if lone else ""


def read_examples(path: str | Path) -> list[Example]:
    """All rows in order. ValueError names file, line and reason: a damaged file is to be restored, not
    trained on.
    """
    return read_json_lines(path, Example, "run the stage that made it again")


def write_examples(path: str | Path, rows: Iterable[Any]) -> int:
    """One compact JSON object a line, keys in the order of the fields: equal examples are equal bytes. Rows
    may be records: their ids are left out. Returns the number of rows.
    """
    count = 0
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        for row in rows:
            stream.write(line_of(row))
            count += 1
    return count


def line_of(row: Any) -> str:
    """A row as it is written, its newline included."""
    values = ((name, getattr(row, name)) for name in FIELDS)
    kept = {name: value for name, value in values if name not in CHAT or value != CHAT[name]}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")) + "\n"


@plain_dataclass(frozen=True, eq=False)
class ExampleFiles(Mapping[str, Sequence[Example]]):
    """Files of examples by name, read when they are asked for."""

    folder: Path
    names: tuple[str, ...]

    def __getitem__(self, name: str) -> list[Example]:
        if name not in self.names:
            raise KeyError(name)
        return read_examples(self.folder / f"{name}.jsonl")

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)
