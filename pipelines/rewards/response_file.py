"""Responses in a JSON Lines file, which `whetstone judge` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.rewards.judge import Response
from pipelines.rewards.own.record import COLUMNS

if TYPE_CHECKING:
    from pipelines.models.tokenizer import Tokens

QUESTION = ("question", "prompt")
READ = frozenset({"response", "reference", "finished", *QUESTION})  # all else is a column, for functions


@dataclass(frozen=True, slots=True)
class FileQuestion:
    """The question of a line, which belongs to no corpus. `prompt_ids` is empty, except for judges of token
    ids.
    """

    id: str
    prompt: str
    answer: str
    source: str
    prompt_ids: list[int]
    meta: Mapping[str, Any] = field(default_factory=dict)


def read_row(line: bytes, number: int, tokens: Tokens | None = None) -> Response:
    """Parses a line `{"response": …, "reference": …}`, with `question` or `prompt` for judges that read it,
    and `finished` (default true). Text under `answer`, as sets to train on have it, is the reference where
    there is no `reference`. Other keys are columns, which functions of the user's own read.

    `tokens` encodes prompt and response, for judges of token ids. Raises ValueError, naming the line, for
    anything else.
    """
    try:
        return _read(line, number, tokens)
    except (ValueError, RecursionError) as fault:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise ValueError(f"line {number}: {fault}") from fault


def _read(line: bytes, number: int, tokens: Tokens | None) -> Response:
    row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    if not isinstance(row, dict):
        raise ValueError(f"an object with response and reference is expected, not {type(row).__name__}")
    key = "answer" if "reference" not in row and isinstance(row.get("answer"), str) else "reference"
    if missing := [name for name in ("response", key) if name not in row]:
        raise ValueError(f"no {' and no '.join(missing)}; it has {', '.join(map(str, row)) or 'no key'}")
    text, reference = row["response"], row[key]
    if isinstance(reference, dict):  # the tests of a program, as they are before a corpus writes them as text
        reference = json.dumps(reference, ensure_ascii=False)
    question = next((row[name] for name in QUESTION if row.get(name) is not None), "")
    for name, value in (("response", text), ("reference", reference), ("question", question)):
        if not isinstance(value, str):
            raise ValueError(f"{name} must be text, not {json.dumps(value)[:40]}")
    finished = row.get("finished", True)
    if not isinstance(finished, bool):
        raise ValueError(f"finished must be true or false, not {json.dumps(finished)[:40]}")
    prompt_ids = tokens.encode_prompt(question) if tokens else []
    ids = tuple(tokens.encode_response(text)) if tokens else ()
    meta = {COLUMNS: {name: value for name, value in row.items() if name not in READ}}
    asked = FileQuestion(str(number), question, reference, "file", prompt_ids, meta)
    return Response(asked, ids, text, finished)
