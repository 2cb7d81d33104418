"""Prompts from a file or a request, and their token ids by the contract of the model that is asked.

A question gets the prompt that the model was trained with (`template.prompt`), a conversation its chat
template. Whoever asks by messages therefore gives the instructions of the prompt himself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.models.conversation import ROLES, Conversation, Turn, role_of
from pipelines.models.tokenizer import Tokens

ASKED = ("prompt", "question", "messages")
Asked = str | Conversation


class BadPrompts(ValueError):
    """Rows that are no prompts; the text names each with its line."""

    NAMED_AT_MOST = 8

    def __init__(self, faults: Sequence[str]) -> None:
        more = len(faults) - self.NAMED_AT_MOST
        super().__init__(
            "\n".join(faults[: self.NAMED_AT_MOST])
            + (f"\nand {more} more rows like these" if more > 0 else "")
        )


@dataclass(frozen=True)
class PromptRow:
    """`asked`: the question, or the turns before the reply. `row`: the object of the file's line, as it
    stands there; `where`: the file and its line.
    """

    where: str
    asked: Asked
    row: Mapping[str, Any]


def read_prompts(lines: Iterable[bytes], name: str) -> list[PromptRow]:
    """Returns the prompts of a file, one a line: objects with `prompt`, `question` or `messages`, or plain
    text where neither the name ends with .jsonl nor the first line begins with a brace. Blank lines are none.

    Raises BadPrompts, which names every row that is no prompt; also where there is none at all.
    """
    rows: list[PromptRow] = []
    faults: list[str] = []
    as_json = name.endswith((".jsonl", ".ndjson"))
    for number, line in enumerate(lines, 1):
        where = f"{name}:{number}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            if not text.strip():
                continue
            as_json = as_json or (not rows and not faults and text.lstrip().startswith("{"))
            row = _object(text) if as_json else {"prompt": text}
            rows.append(PromptRow(where, asked_of(row), row))
        except (
            ValueError,
            RecursionError,
        ) as fault:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
            faults.append(f"{where}: {fault}")
    if not rows and not faults:
        faults = [f"{name}: no line holds a prompt"]
    if faults:
        raise BadPrompts(faults)
    return rows


def _object(text: str) -> dict[str, Any]:
    row = json.loads(text)
    if not isinstance(row, dict):
        raise ValueError(f"an object with {_or(ASKED)} is expected, not {type(row).__name__}")
    return row


def asked_of(row: Mapping[str, Any]) -> Asked:
    """Returns what a row asks. Raises ValueError where it holds none or several of `ASKED`, or a bad one."""
    present = [key for key in ASKED if row.get(key) is not None]
    if len(present) != 1:
        raise ValueError(
            f"{' and '.join(present)} are given: give one of them"
            if present
            else f"no {_or(ASKED)}; it has {', '.join(map(str, row)) or 'no key'}"
        )
    key, value = present[0], row[present[0]]
    if key == "messages":
        return conversation_of(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key} must be text, not {json.dumps(value)[:40]}")
    return value


def conversation_of(messages: Any, tools: Sequence[Mapping[str, Any]] = ()) -> Conversation:
    """Returns the turns of messages as chat APIs have them: {"role", "content"}, where the content is text
    or a list of parts {"type": "text", "text"}. Raises ValueError where they are none, or leave nothing to
    reply to.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise ValueError("messages must be a list of {role, content}")
    turns = [_turn(message, f"messages[{number}]") for number, message in enumerate(messages)]
    conversation = Conversation.of(turns, "messages", tools)
    if conversation.answered:
        raise ValueError("messages end with a turn of the assistant: there is nothing to reply to")
    return conversation


def _turn(message: Any, where: str) -> Turn:
    if not isinstance(message, Mapping):
        raise ValueError(f"{where} must be an object with role and content")
    said = message.get("role")
    role = role_of(said)
    if role is None:
        raise ValueError(f"{where}.role is {json.dumps(said)[:40]}; known: {', '.join(ROLES)}")
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        content = "".join(texts) if len(texts) == len(parts) else None
    elif content is None and message.get("tool_calls"):
        content = ""
    if not isinstance(content, str):
        raise ValueError(f"{where}.content must be text: this model reads nothing else")
    more = {key: value for key, value in message.items() if key not in ("role", "content")}
    return Turn(role, content, more)


def encode(asked: Asked, tokens: Tokens) -> list[int]:
    """Returns the ids of a prompt. Raises ValueError where a text spells a special token, a character has no
    token, or the turns need a chat template that the model has not.
    """
    if isinstance(asked, str):
        return tokens.encode_prompt(asked)
    if tokens.chat is not None:
        return tokens.encode_conversation(asked).ids
    if asked.tools or any(turn.role == "tool" for turn in asked.turns):
        raise ValueError("it uses tools, and this model has no chat template, which alone can write them")
    return tokens.encode_prompt(asked.transcript)


def encode_text(text: str, tokens: Tokens) -> list[int]:
    """Returns the ids of a text that is continued as it stands, without a template; BOS before it where the
    model's prompts begin with it.
    """
    first, bos = tokens.encode_prompt("")[:1], tokens.bos_id
    return [*([bos] if bos is not None and first == [bos] else []), *tokens.encode_text(text)]


def encode_rows(rows: Iterable[PromptRow], tokens: Tokens, context: int) -> list[list[int]]:
    """Returns the ids of each row's prompt. Raises BadPrompts, naming all rows that have none or are too long
    for a context of so many tokens.
    """
    results = list(_tried(rows, tokens, context))
    if faults := [result for result in results if isinstance(result, str)]:
        raise BadPrompts(faults)
    return [result for result in results if not isinstance(result, str)]


def _tried(rows: Iterable[PromptRow], tokens: Tokens, context: int) -> Iterator[list[int] | str]:
    for row in rows:
        try:
            ids = encode(row.asked, tokens)
        except ValueError as fault:
            yield f"{row.where}: {fault}"
            continue
        yield (
            ids
            if 0 < len(ids) < context
            else f"{row.where}: its prompt has {len(ids)} tokens, and the model's context is {context}"
        )


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
