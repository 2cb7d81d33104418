"""`whetstone show`: one row of a data set as text and as a model reads it, with the tokens that are trained
on.

The rows are those that a stage wrote, and the tokenizer and template are the model's own, so what is shown is
what is trained on: the prompt with its template, the loss on the assistant's tokens, and the end of a
response.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from pipelines.corpora.preferences.pair import PairExample
from pipelines.corpora.records.example import Example
from pipelines.corpora.records.pair_tokens import tokenise_pairs
from pipelines.corpora.records.rendering import NotEncodable, record_of
from pipelines.corpora.records.set_rules import SetRules
from pipelines.models.tokenizer import Tokens

RECORDS, PAIRS = (
    ("sft", "rl", "explore", "calib", "validation", "heldout"),
    ("train", "validation", "heldout"),
)
# what would steer a terminal; not line breaks and tabs
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class NothingToShow(ValueError):
    """The data set, file or row does not exist; the message lists what does. `usage`: the command was wrong,
    not the state of the project.
    """

    def __init__(self, message: str, usage: bool = True) -> None:
        super().__init__(message)
        self.usage = usage


@dataclass(frozen=True)
class Part:
    """A piece of the text, and whether its tokens are in the loss."""

    text: str
    loss: bool


@dataclass(frozen=True)
class Sequenced:
    """One sequence of token ids with its loss mask. `name`: demonstration, prompt, chosen or rejected."""

    name: str
    ids: list[int]
    mask: list[int]
    parts: list[Part]

    @classmethod
    def of(cls, name: str, ids: list[int], spans: Sequence[tuple[int, int]], tokens: Tokens) -> Sequenced:
        mask = [0] * len(ids)
        for start, stop in spans:
            mask[start:stop] = [1] * (stop - start)
        edges = sorted({0, len(ids), *(bound for span in spans for bound in span)})
        heads = [tokens.tokenizer.decode(ids[:edge], skip_special_tokens=False) for edge in edges]
        pieces = zip(edges[:-1], heads[:-1], heads[1:], strict=True)
        return cls(
            name,
            ids,
            mask,
            [Part(decoded[len(head) :], bool(mask[start])) for start, head, decoded in pieces],
        )

    @property
    def marked(self) -> str:
        """The text with its trained parts between [[ and ]]."""
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
    """Row `row` (from 0) of `rows` of a file, as sequences; `stops`: (id, text) of the tokens that end a
    response.
    """

    subject: str
    file: str
    row: int
    rows: int
    id: str
    sequences: list[Sequenced]
    stops: list[tuple[int, str]]
    template: str
    model: str
    value: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "file": self.file,
            "row": self.row,
            "rows": self.rows,
            "id": self.id,
            "sequences": [sequence.as_json() for sequence in self.sequences],
            "stop_ids": [id for id, _ in self.stops],
            "stop_tokens": [text for _, text in self.stops],
            "template": self.template,
            "model": self.model or None,
            "value": self.value,
        }


def show(root: Path, subject: str, row: int, file: str | None = None, model: str | None = None) -> Shown:
    """Returns one row of a data set. `subject`: a set's name, or the stage that makes it. `model`: whose
    tokenizer is used; None: the first existing model that is trained on the set, or without one the text
    alone. Raises NothingToShow.
    """
    name = subject.rpartition("@")[2]
    folder, names = _folder(root, subject, name, file)
    path, lines = _file(folder, file, names)
    if not 0 <= row < len(lines):
        raise NothingToShow(f"--row {row}: {path.relative_to(root)} has the rows 0 to {len(lines) - 1}")
    value, rules, file_name = json.loads(lines[row]), SetRules.read(folder), str(path.relative_to(root))
    reader = _reader(root, name, model)
    if reader is None:
        return Shown(subject, file_name, row, len(lines), value["id"], [], [], "", "", value)
    tokens = Tokens.load(root / "models" / reader / "model")
    sequences = shown_pair(value, tokens, rules) if names is PAIRS else shown_record(value, tokens, rules)
    stops = [(id, tokens.tokenizer.id_to_token(id) or "") for id in tokens.stop_ids]
    template = "written out" if tokens.chat is None else "the tokenizer's chat template"
    return Shown(subject, file_name, row, len(lines), value["id"], sequences, stops, template, reader, value)


def _folder(root: Path, subject: str, name: str, file: str | None) -> tuple[Path, Sequence[str]]:
    """Returns the folder of the set's pairs, or else of its records, and the names of its files."""
    if not name or "/" in name:
        raise NothingToShow(f"{subject!r} is not a data set: a name below data/ is expected")
    folders = {"pairs": PAIRS, "records": RECORDS}
    present = [folder for folder in folders if (root / "data" / name / folder).is_dir()]
    if not present:
        sets = sorted(path.parent.name for path in root.glob("data/*/records") if path.is_dir())
        maker = _maker(root, name)
        raise NothingToShow(
            (
                f"data/{name} is not there: `whetstone run {maker}` makes it"
                if maker
                else f"no stage makes a set called {name}"
            )
            + (f"; sets at hand: {', '.join(sets)}" if sets else ""),
            usage=False,
        )
    matching = [folder for folder in present if file is None or file in folders[folder]]
    chosen = (matching or present)[0]
    return root / "data" / name / chosen, folders[chosen]


def _maker(root: Path, name: str) -> str:
    """Returns the stage that makes the set, or ""."""
    from flows.graph.params import load
    from flows.graph.references import Graph

    stages = Graph(load(root).model_dump(), root).stages
    folders = tuple(f"data/{name}/{folder}" for folder in ("records", "pairs"))
    return next((stage.name for stage in stages if any(out in folders for out in stage.outs)), "")


def _reader(root: Path, name: str, model: str | None) -> str | None:
    """Returns the model whose tokenizer is used; None where no model is named and no existing one is trained
    on the set.
    """
    from flows.graph.params import load
    from flows.graph.references import Graph

    if model is None:
        paths = [
            [read.path for read in stage.inputs] for stage in Graph(load(root).model_dump(), root).stages
        ]
        learning = [
            stage_paths
            for stage_paths in paths
            if any(path.startswith(f"data/{name}/") for path in stage_paths)
        ]
        models = (
            path.split("/")[1]
            for stage_paths in learning
            for path in stage_paths
            if path.startswith("models/")
        )
        return next(
            (
                candidate
                for candidate in models
                if (root / "models" / candidate / "model/tokens.json").is_file()
            ),
            None,
        )
    if not (root / "models" / model / "model/tokens.json").is_file():
        available = sorted(path.parts[-3] for path in root.glob("models/*/model/tokens.json"))
        raise NothingToShow(
            f"--model {model}: at hand are {', '.join(available) or 'none: `whetstone run base`'}"
        )
    return model


def _file(folder: Path, file: str | None, names: Sequence[str]) -> tuple[Path, list[str]]:
    """Returns the path and lines of the requested file, or of the first file with rows."""
    present = [name for name in names if (folder / f"{name}.jsonl").is_file()]
    if file is not None and file not in present:
        raise NothingToShow(f"--file {file}: known are {', '.join(present)}")
    for name in [file] if file else present:
        path = folder / f"{name}.jsonl"
        lines = path.read_text("utf-8").split("\n")[:-1]
        if lines:
            return path, lines
    raise NothingToShow(
        f"{folder} holds no rows"
        if file is None
        else f"{file}.jsonl holds no rows; others: {', '.join(present)}"
    )


def shown_record(value: dict[str, Any], tokens: Tokens, rules: SetRules) -> list[Sequenced]:
    record = record_of(Example(**value), tokens, rules.answers)
    if isinstance(record, NotEncodable):
        raise ValueError(f"{record.where}: {record.reason}")
    if record.response_ids is None:
        return [Sequenced.of("prompt", record.prompt_ids, [], tokens)]
    ids = record.prompt_ids + record.response_ids
    spans = [*((start, stop) for start, stop in record.loss_spans), (len(record.prompt_ids), len(ids))]
    return [Sequenced.of("demonstration", ids, spans, tokens)]


def shown_pair(value: dict[str, Any], tokens: Tokens, rules: SetRules) -> list[Sequenced]:
    tokenised = tokenise_pairs([PairExample(**value)], tokens, replace(rules, max_bad_rows=1.0), value["id"])
    if not tokenised.pairs:
        reasons = ", ".join(reason.replace("_", " ") for reason in tokenised.left_out)
        raise ValueError(f"{value['id']} gives this model no pair: {reasons}")
    [pair] = tokenised.pairs
    return [
        Sequenced.of(
            name, pair.prompt_ids + ids, [(len(pair.prompt_ids), len(pair.prompt_ids) + len(ids))], tokens
        )
        for name, ids in (("chosen", pair.chosen_ids), ("rejected", pair.rejected_ids))
    ]


def print_shown(console: Console, shown: Shown) -> None:
    """Print the row; its trained parts are coloured on a terminal, else in brackets."""
    console.print(
        Text(f"{shown.subject}: row {shown.row} of {shown.rows} (from 0) of {shown.file}, {shown.id}")
    )
    for sequence in shown.sequences:
        console.print(
            Text(
                f"-- {sequence.name}: {len(sequence.ids)} tokens, {sum(sequence.mask)} of them learnt",
                style="dim",
            )
        )
        for part in sequence.parts:
            safe = _visible(part.text)
            marked = f"[[{safe}]]" if part.loss and not console.is_terminal else safe
            console.print(Text(marked, style="bold green" if part.loss else ""), end="")
        console.print()
    if not shown.model:
        for key, value in shown.value.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            console.print(Text(f"{key}: {_visible(text)}"))
        console.print(
            Text(
                "-- as text; a model that reads it shows its tokens: --model NAME, once its stage has run",
                style="dim",
            )
        )
        return
    ends = ", ".join(f"{text} ({id})" for id, text in shown.stops)
    console.print(
        Text(
            f"-- as {shown.model} reads it; template: {shown.template}; a response ends with {ends}",
            style="dim",
        )
    )


def _visible(text: str) -> str:
    """Returns the text with terminal control characters spelt out."""
    return CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)
