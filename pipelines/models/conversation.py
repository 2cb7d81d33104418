"""A conversation: the turns of system, user, assistant and tool as they stand in the raw row, checked, and
nothing flattened.

A turn keeps what a chat template may ask for beside its text (tool calls, a name, reasoning). Every reader
makes conversations through `Conversation.of`, so that what is out of order is found in one place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
ROLES: Mapping[str, Role] = {  # those of templates, OpenAI's interface, Gemma and ShareGPT's dumps
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
    "gpt": "assistant", "chatgpt": "assistant", "model": "assistant", "tool": "tool", "observation": "tool",
}  # fmt: skip
NAMES: Mapping[Role, str] = {"system": "System", "user": "Human", "assistant": "Assistant", "tool": "Tool"}
# what may stand before a turn of each role; None: it is the first
BEFORE: Mapping[Role, tuple[Role | None, ...]] = {
    "system": (None,),
    "user": (None, "system", "assistant"),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}


def role_of(said: Any) -> Role | None:
    """Returns the role that a message names, in any case; None where it is none."""
    return ROLES.get(said.strip().lower()) if isinstance(said, str) else None


class BadConversation(ValueError):
    """Turns that contradict themselves; its text is the reason, and names the place of the turn."""


@dataclass(frozen=True)
class Turn:
    """What one side said. `more`: other keys of the raw message, as the template gets them."""

    role: Role
    text: str
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def message(self) -> dict[str, Any]:
        """As chat templates read it."""
        return {"role": self.role, "content": self.text, **self.more}

    @property
    def said(self) -> str:
        """The text; of a turn that only calls tools, its calls as JSON."""
        calls = self.more.get("tool_calls")
        return self.text if self.text.strip() or not calls else json.dumps(calls, ensure_ascii=False)


@dataclass(frozen=True)
class Conversation:
    """Turns in order. It ends with a turn of the assistant, or is a prompt and ends before one. `tools`: JSON
    schemas.
    """

    turns: tuple[Turn, ...]
    tools: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(cls, turns: Sequence[Turn], where: str, tools: Sequence[Mapping[str, Any]] = ()) -> Conversation:
        """BadConversation where a role is out of order, or a turn is empty that must not be; `where` names
        the column.
        """
        before: Role | None = None
        for number, turn in enumerate(turns):
            if before not in BEFORE[turn.role]:
                place = f"after one of the {before}" if before else "at the beginning"
                raise BadConversation(
                    f"{where}[{number}] is a turn of the {turn.role} {place}: roles are out of order"
                )
            if turn.role in ("user", "assistant") and not turn.said.strip():
                raise BadConversation(f"{where}[{number}] is an empty turn of the {turn.role}")
            if not _is_valid_unicode(turn.text):
                raise BadConversation(f"{where}[{number}] holds half a character (a lone surrogate)")
            before = turn.role
        if not any(turn.role == "user" for turn in turns):
            raise BadConversation(f"{where} has no turn of the user")
        return cls(tuple(turns), tuple(tools))

    @property
    def answered(self) -> bool:
        return self.turns[-1].role == "assistant"

    @property
    def prompt(self) -> Conversation:
        """The turns before the last one of the assistant."""
        return Conversation(self.turns[:-1], self.tools) if self.answered else self

    def answer(self, text: str) -> Conversation:
        """With a turn of the assistant at its end."""
        return Conversation((*self.turns, Turn("assistant", text)), self.tools)

    @property
    def plain(self) -> bool:
        """One turn of the user, and an answer at most: what a question and its solution say as well."""
        before = self.prompt
        return len(before.turns) == 1 and not self.tools and not any(turn.more for turn in self.turns)

    @property
    def texts(self) -> tuple[str, ...]:
        """All that a template may write of it, for whoever looks for what cannot be encoded."""
        more = (json.dumps(turn.more, ensure_ascii=False) for turn in self.turns if turn.more)
        tools = (json.dumps(self.tools, ensure_ascii=False),) if self.tools else ()
        return (*(turn.text for turn in self.turns), *more, *tools)

    @property
    def transcript(self) -> str:
        """The prompt as one text, for people, judges and comparing: a single turn is itself, else each names
        who speaks.
        """
        turns = self.prompt.turns
        if len(turns) == 1:
            return turns[0].text
        return "\n\n".join(f"{NAMES[turn.role]}: {turn.said}" for turn in turns)

    def as_json(self) -> dict[str, Any]:
        return {
            "messages": [turn.message for turn in self.turns],
            **({"tools": list(self.tools)} if self.tools else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Conversation:
        """Returns the conversation that `as_json` gave. Raises KeyError or TypeError for anything else."""
        turns = [
            Turn(
                message["role"],
                message["content"],
                {k: v for k, v in message.items() if k not in ("role", "content")},
            )
            for message in value["messages"]
        ]
        return cls(tuple(turns), tuple(value.get("tools", ())))


def _is_valid_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
