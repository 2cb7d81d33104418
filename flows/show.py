"""`whetstone show`: one row of a data set as the model reads it, and which of its tokens are learnt.

Rows are those that a stage wrote, so what is shown is what is trained on: the prompt with its template, the
loss on the assistant's tokens, what ends a response.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from pipelines.corpora.record import Record
from pipelines.models.tokenizer import Tokens

RECORDS, PAIRS = (
    ("sft", "rl", "explore", "calib", "validation", "heldout"),
    ("train", "validation", "heldout"),
)
# what would steer a terminal; not line breaks and tabs
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class NothingToShow(ValueError):
    """No such data set, file or row; the text says which there are. `usage`: the command was wrong, not the
    state of the project.
    """

    def __init__(self, message: str, usage: bool = True) -> None:
        super().__init__(message)
        self.usage = usage


@dataclass(frozen=True)
class Part:
    """A piece of the text, and whether its tokens are learnt."""

    text: str
    loss: bool


@dataclass(frozen=True)
class Sequenced:
    """One sequence of ids with its mask. `name`: demonstration, prompt, chosen or rejected."""

    name: str
    ids: list[int]
    mask: list[int]
    parts: list[Part]

    @classmethod
    def of(cls, name: str, ids: list[int], spans: Sequence[tuple[int, int]], tokens: Tokens) -> Sequenced:
        mask = [0] * len(ids)
        for start, stop in spans:
            mask[start:stop] = [1] * (stop - start)
        edges = sorted({0, len(ids), *(place for span in spans for place in span)})
        heads = [tokens.tokenizer.decode(ids[:edge], skip_special_tokens=False) for edge in edges]
        pieces = zip(edges[:-1], heads[:-1], heads[1:], strict=True)
        return cls(
            name, ids, mask, [Part(whole[len(head) :], bool(mask[start])) for start, head, whole in pieces]
        )

    @property
    def marked(self) -> str:
        """The text with what is learnt between [[ and ]]."""
        return "".join(f"[[{part.text}]]" if part.loss else part.text for part in self.parts)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "text": "".join(part.text for part in self.parts),
            "parts": [{"text": part.text, "loss": part.loss} for part in self.parts],
            "tokens": len(self.ids),
            "loss_tokens": sum(self.mask),
            "ids": self.ids,
            "mask": self.mask,
        }


@dataclass(frozen=True)
class Shown:
    """Row `row` (from 0) of `rows` of a file, as sequences; `stops`: (id, text) of what ends a response."""

    subject: str
    file: str
    row: int
    rows: int
    id: str
    sequences: list[Sequenced]
    stops: list[tuple[int, str]]
    template: str

    def as_json(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "file": self.file,
            "row": self.row,
            "rows": self.rows,
            "id": self.id,
            "sequences": [one.as_json() for one in self.sequences],
            "stop_ids": [id for id, _ in self.stops],
            "stop_tokens": [text for _, text in self.stops],
            "template": self.template,
        }


def show(root: Path, subject: str, row: int, file: str | None = None) -> Shown:
    """`subject`: corpus@NAME, rlvr_set@NAME or preferences@NAME. NothingToShow says what there is."""
    stage, _, name = subject.partition("@")
    if stage not in ("corpus", "rlvr_set", "preferences") or not name or "/" in name:
        raise NothingToShow(
            f"{subject!r} is no data set: corpus@NAME, rlvr_set@NAME or preferences@NAME is expected"
        )
    pairs = stage == "preferences"
    folder = root / "data" / name / ("pairs" if pairs else "records")
    if not folder.is_dir():
        raise NothingToShow(
            f"{folder.relative_to(root)} is not there: `whetstone run {subject}` makes it", usage=False
        )
    path, lines = _file(folder, file, PAIRS if pairs else RECORDS)
    if not 0 <= row < len(lines):
        raise NothingToShow(f"--row {row}: {path.relative_to(root)} has the rows 0 to {len(lines) - 1}")
    tokens = Tokens.load(_tokenizer(root, name, pairs))
    value = json.loads(lines[row])
    found = _pair(value, tokens) if pairs else _record(value, tokens)
    stops = [(id, tokens.tokenizer.id_to_token(id) or "") for id in tokens.stop_ids]
    what = "written out" if tokens.chat is None else "the tokenizer's chat template"
    return Shown(subject, str(path.relative_to(root)), row, len(lines), value["id"], found, stops, what)


def _file(folder: Path, file: str | None, names: Sequence[str]) -> tuple[Path, list[str]]:
    """The file asked for, or the first that holds rows."""
    there = [name for name in names if (folder / f"{name}.jsonl").is_file()]
    if file is not None and file not in there:
        raise NothingToShow(f"--file {file}: known are {', '.join(there)}")
    for name in [file] if file else there:
        path = folder / f"{name}.jsonl"
        lines = path.read_text("utf-8").split("\n")[:-1]
        if lines:
            return path, lines
    raise NothingToShow(
        f"{folder} holds no rows"
        if file is None
        else f"{file}.jsonl holds no rows; others: {', '.join(there)}"
    )


def _tokenizer(root: Path, name: str, pairs: bool) -> Path:
    if not pairs:
        return root / "data" / name / "tokenizer"
    from flows.graph.params import load

    return root / "data" / load(root).preferences[name].data / "tokenizer"


def _record(value: dict[str, Any], tokens: Tokens) -> list[Sequenced]:
    record = Record(**value)
    if record.response_ids is None:
        return [Sequenced.of("prompt", record.prompt_ids, [], tokens)]
    ids = record.prompt_ids + record.response_ids
    spans = [*((start, stop) for start, stop in record.loss_spans), (len(record.prompt_ids), len(ids))]
    return [Sequenced.of("demonstration", ids, spans, tokens)]


def _pair(value: dict[str, Any], tokens: Tokens) -> list[Sequenced]:
    prompt = value["prompt_ids"]
    both = ((name, value[f"{name}_ids"]) for name in ("chosen", "rejected"))
    return [
        Sequenced.of(name, prompt + ids, [(len(prompt), len(prompt) + len(ids))], tokens)
        for name, ids in both
    ]


def print_shown(console: Console, shown: Shown) -> None:
    """In colour on a terminal, else with brackets around what is learnt."""
    console.print(
        Text(f"{shown.subject}: row {shown.row} of {shown.rows} (from 0) of {shown.file}, {shown.id}")
    )
    for one in shown.sequences:
        console.print(
            Text(f"-- {one.name}: {len(one.ids)} tokens, {sum(one.mask)} of them learnt", style="dim")
        )
        for part in one.parts:
            safe = CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", part.text)
            marked = f"[[{safe}]]" if part.loss and not console.is_terminal else safe
            console.print(Text(marked, style="bold green" if part.loss else ""), end="")
        console.print()
    ends = ", ".join(f"{text} ({id})" for id, text in shown.stops)
    console.print(Text(f"-- template: {shown.template}; a response ends with {ends}", style="dim"))
