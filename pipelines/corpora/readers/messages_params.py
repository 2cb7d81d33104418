"""Options of demonstrations in TRL's layouts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.corpora.raw.sources_params import SplitSource
from pipelines.settings import Settings


class MessageColumns(Settings):
    """Which column holds what; a row needs those of one layout. A dot goes into nested columns."""

    messages: str = Field(
        "messages", description="a whole conversation: a list of {role, content} or {from, value}"
    )
    prompt: str = Field("prompt", description="with `completion`: text, or a list of turns")
    completion: str = Field(
        "completion", description="text, or a list of turns, of which those of the assistant are learnt"
    )
    text: str = Field("text", description="a text without a prompt, all of which is learnt")
    tools: str = Field(
        "tools", description="JSON schemas of tools beside a conversation, where the row has them"
    )
    key: str | None = Field(
        None,
        description=(
            "rows with an equal value stay on one side of the split; null: the first turn of the user"
        ),
    )


class MessagesSource(SplitSource):
    """Demonstrations in the layouts that TRL documents: `messages`, `prompt` and `completion`, or `text`. A
    row's columns say which.
    """

    columns: MessageColumns = MessageColumns()
    loss: Literal["every", "last"] = Field(
        "every",
        description=(
            "of a conversation every turn of the assistant is learnt, or the last only; a turn's end is "
            "learnt with it"
        ),
    )
