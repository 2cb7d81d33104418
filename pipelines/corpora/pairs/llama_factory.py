"""LLaMA-Factory's layouts: chat turns with a chosen and a rejected answer, or with one answer that is
labelled good or bad.

Single labelled answers become pairs where one prompt has both kinds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.pairs.options import LlamaFactoryParams
from pipelines.corpora.preferences.pair import Labelled, Preference
from pipelines.corpora.preferences.pair_rows import PairItem, PairReading, items
from pipelines.corpora.raw.columns import BadRow, flag
from pipelines.corpora.raw.dialogue import (
    as_text,
    chat_turn,
    chat_turns,
    conversation,
    first_user_turn,
    split_answer,
)


def read(source: LlamaFactoryParams, reading: PairReading) -> Iterator[PairItem]:
    """Yields rows `{conversations, chosen, rejected}` (its dpo demos) or `{messages, label}` (its
    kto demo).
    """
    return items(source, reading, lambda row, side: convert(row, side, reading.name))


def convert(row: Mapping[str, Any], side: Side, source: str) -> PairItem:
    """Converts a row of either layout. Raises BadRow when it is of neither, or one of its turns
    is malformed.
    """
    if "conversations" in row:
        return preference(row, side, source)
    if "messages" not in row:
        raise BadRow("no column conversations or messages")
    turns, answer = split_answer(chat_turns(row["messages"], "messages"), "messages")
    return Labelled(
        as_text(turns),
        answer,
        float(flag(row, "label")),
        source,
        side,
        key=first_user_turn(turns),
        meta={"turns": len(turns)},
        conversation=conversation(turns, "messages", row.get("tools")),
    )


def preference(row: Mapping[str, Any], side: Side, source: str) -> Preference:
    """Converts a row of the dpo layout. Raises BadRow."""
    turns = chat_turns(row.get("conversations"), "conversations")
    chosen, rejected = (chat_turn(row.get(column), column) for column in ("chosen", "rejected"))
    for column, turn in (("chosen", chosen), ("rejected", rejected)):
        if turn.role != "assistant":
            raise BadRow(f"{column} is a turn of the {turn.role}, not of the assistant")
    return Preference(
        as_text(turns),
        chosen.text,
        rejected.text,
        source,
        side,
        key=first_user_turn(turns),
        meta={"turns": len(turns)},
        conversation=conversation(turns, "conversations", row.get("tools")),
    )
