"""Dialogues: turns from the forms in which preference data writes them, and the one text that becomes the prompt.

A prompt of one turn is that turn, as everywhere in the pipeline; a longer one names who speaks, and ends with the user's last turn. The
marker of the answer belongs to the prompt template, which is applied to the whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.corpora.columns import BadRow

Role = Literal["system", "user", "assistant"]
ROLES: Mapping[str, Role] = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
NAMES: Mapping[Role, str] = {"system": "System", "user": "Human", "assistant": "Assistant"}
LAST_TURN = "\n\nAssistant:"
TURN = re.compile(r"\n\n(Human|Assistant):")


@dataclass(frozen=True)
class Turn:
    """What one side said."""

    role: Role
    text: str


def as_text(turns: Sequence[Turn]) -> str:
    """The prompt text. BadRow when no turn says anything, or the last one is not the user's."""
    spoken = [turn for turn in turns if turn.text.strip()]
    if not spoken:
        raise BadRow("the prompt is empty")
    if spoken[-1].role != "user":
        raise BadRow(f"the prompt ends with a turn of the {spoken[-1].role}, not of the user")
    if len(spoken) == 1:
        return spoken[0].text
    return "\n\n".join(f"{NAMES[turn.role]}: {turn.text}" for turn in spoken)


def opening(turns: Sequence[Turn]) -> str:
    """The user's first turn: dialogues that begin alike are continuations of one conversation, and stay together in a split."""
    return next((turn.text for turn in turns if turn.role == "user"), "")


def split_last(dialogue: str, column: str) -> tuple[str, str]:
    """HH-RLHF's form -> (all up to and including the last `\\n\\nAssistant:`, what follows it). BadRow when there is no such turn."""
    before, mark, answer = dialogue.rpartition(LAST_TURN)
    if not mark:
        raise BadRow(f"{column} has no turn of the Assistant")
    return before + mark, answer


def said(text: str) -> str:
    """HH-RLHF writes one blank between a speaker's colon and what is said; the rest is the speaker's."""
    return text.removeprefix(" ")


def turns_of(prefix: str) -> list[Turn]:
    """The turns of HH-RLHF's form; the open turn at its end is none. BadRow when something stands before the first marker."""
    parts = TURN.split(prefix.removesuffix(LAST_TURN))
    if parts[0].strip():
        raise BadRow("the dialogue does not begin with a turn")
    return [Turn("user" if name == "Human" else "assistant", said(text)) for name, text in zip(parts[1::2], parts[2::2], strict=True)]


def chat_turns(found: Any, column: str) -> list[Turn]:
    """A list of `{role, content}` or `{from, value}` objects. BadRow names the column and what is wrong with it."""
    if not isinstance(found, Sequence) or isinstance(found, str) or not found:
        raise BadRow(f"{column} is no list of turns")
    return [chat_turn(turn, f"{column}[{number}]") for number, turn in enumerate(found)]


def chat_turn(turn: Any, where: str) -> Turn:
    """One such object. BadRow names `where`."""
    role, content = ("from", "value") if isinstance(turn, Mapping) and "from" in turn else ("role", "content")
    if not isinstance(turn, Mapping) or not isinstance(turn.get(content), str):
        raise BadRow(f"{where} has no text under {content}")
    if turn.get(role) not in ROLES:
        raise BadRow(f"{where}.{role} is {str(turn.get(role))[:40]!r}, not one of {', '.join(ROLES)}")
    return Turn(ROLES[turn[role]], turn[content])


def answered(turns: Sequence[Turn], column: str) -> tuple[list[Turn], str]:
    """The turns before the last, and what the last one says. BadRow when it is not the assistant's."""
    if not turns or turns[-1].role != "assistant":
        raise BadRow(f"{column} does not end with a turn of the assistant")
    return list(turns[:-1]), turns[-1].text
