"""One row of a set as it is stored: text and turns that people can read, bound to no tokenizer.

A stage that trains or samples a model renders and tokenises the rows for that model
(pipelines/corpora/records/tokenised.py). A file of examples is our own output, so that a bad row in it means
damage and is never skipped.
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
    """`answer`: the reference, empty where there is none. `response`: the demonstration, None without one.
    `conversation`: the turns as returned by `Conversation.as_json`, where the raw row held turns; `prompt` is
    then the transcript of what is asked. `loss`: which tokens of a demonstration are trained on, as in
    `Problem`.
    """

    id: Text
    prompt: Text
    response: str | None
    answer: str
    subject: Text
    level: int | None
    source: Text
    meta: SkipValidation[Mapping[str, Any]] = field(default_factory=dict)
    conversation: SkipValidation[Mapping[str, Any] | None] = None
    loss: Loss | Literal["text"] = "last"


FIELDS = tuple(item.name for item in fields(Example))
CHAT: Mapping[str, Any] = {"conversation": None, "loss": "last"}  # written only where they say something


def lone_surrogate(*texts: str) -> str:
    """Returns why no file can hold one of the texts; empty where all of them can be written."""
    surrogate = next((match for text in texts if (match := LONE_SURROGATE.search(text))), None)
    return (
        f"holds half of a character (U+{ord(surrogate.group()):04X}), which no encoding has"
        if surrogate
        else ""
    )


def read_examples(path: str | Path) -> list[Example]:
    """Returns all rows, in order. Raises ValueError, naming file, line and reason: a damaged file must be
    restored, not trained on.
    """
    return read_json_lines(path, Example, "run the stage that made it again")


def write_examples(path: str | Path, rows: Iterable[Any]) -> int:
    """Writes one compact JSON object per line, keys in the order of the fields: equal examples give equal
    bytes. Rows may be records: their token ids are left out. Returns the number of rows.
    """
    count = 0
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        for row in rows:
            stream.write(json_line(row))
            count += 1
    return count


def json_line(row: Any) -> str:
    """Returns a row as it is written, its newline included."""
    values = ((name, getattr(row, name)) for name in FIELDS)
    written = {name: value for name, value in values if name not in CHAT or value != CHAT[name]}
    return json.dumps(written, ensure_ascii=False, separators=(",", ":")) + "\n"


@plain_dataclass(frozen=True, eq=False)
class ExampleFiles(Mapping[str, Sequence[Example]]):
    """Files of examples by name, each read when it is accessed."""

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
