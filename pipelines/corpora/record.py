"""One row of a corpus as every later stage reads it: the question, its demonstration and answer as text, and
both as token ids.

Token ids travel; the text is for checkers and people. A file of records is our own output, so a bad row in it
is damage, not noise.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, fields
from pathlib import Path
from typing import Any, Self

from pydantic import SkipValidation, model_validator
from pydantic.dataclasses import dataclass

from pipelines.corpora.json_lines import STRICT, Text, TokenIds, read_json_lines


@dataclass(frozen=True, config=STRICT)
class Record:
    """`prompt_ids` has the template applied; `response_ids` ends with EOS, or what ends a turn of the chat,
    and is None where there is no demonstration. `conversation`: the turns as `Conversation.as_json` has them,
    where the raw row held turns. `loss_spans`: places [start, stop) of `prompt_ids` that a demonstration
    teaches as well, each an earlier turn of the assistant.
    """

    id: Text
    prompt: Text
    response: str | None
    answer: Text
    subject: Text
    level: int | None
    source: Text
    prompt_ids: TokenIds
    response_ids: TokenIds | None
    meta: SkipValidation[Mapping[str, Any]] = field(default_factory=dict)
    conversation: SkipValidation[Mapping[str, Any] | None] = None
    loss_spans: list[list[int]] = field(default_factory=list)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if (self.response is None) != (self.response_ids is None):
            raise ValueError("response and response_ids must both be there, or both be null")
        places = [place for span in self.loss_spans for place in span]
        if (
            places != sorted(set(places))
            or any(len(span) != 2 for span in self.loss_spans)
            or (places and places[-1] > len(self.prompt_ids))
        ):
            raise ValueError("loss_spans must be ascending places [start, stop) of prompt_ids")
        return self


FIELDS = tuple(item.name for item in fields(Record))
CHAT: Mapping[str, Any] = {"conversation": None, "loss_spans": []}  # written only where they hold something


def read_records(path: str | Path) -> list[Record]:
    """All rows in order. ValueError names file, line and reason: a damaged file is to be restored, not
    trained on.
    """
    return read_json_lines(path, Record, "run the corpus stage again")


def write_records(path: str | Path, rows: Iterable[Record]) -> int:
    """One compact JSON object a line, keys in the order of the fields: equal records are equal bytes. Returns
    their number.
    """
    count = 0
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        for row in rows:
            stream.write(line_of(row))
            count += 1
    return count


def line_of(row: Record) -> str:
    """A row as it is written, its newline included."""
    held = ((name, getattr(row, name)) for name in FIELDS)
    value = {name: found for name, found in held if name not in CHAT or found != CHAT[name]}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


@dataclass(frozen=True, eq=False)
class RecordFiles(Mapping[str, Sequence[Record]]):
    """Files of records by name, read when they are asked for."""

    folder: Path
    names: tuple[str, ...]

    def __getitem__(self, name: str) -> list[Record]:
        if name not in self.names:
            raise KeyError(name)
        return read_records(self.folder / f"{name}.jsonl")

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)
