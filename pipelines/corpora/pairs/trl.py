"""Preference data in the layouts that TRL documents: text or lists of turns, with the prompt in a column of
its own or as the common beginning of both answers, and unpaired answers with a label.

A row's own columns say which it is. A row that contradicts itself is a bad one: other turns in `chosen` than
in `prompt`, two beginnings that differ, no turn of the assistant at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.pairs.options import TrlParams
from pipelines.corpora.preferences.pair import Labelled, Preference
from pipelines.corpora.preferences.pair_rows import Item, PairReading, items
from pipelines.corpora.raw.columns import BadRow, cell, flag, text
from pipelines.corpora.raw.dialogue import (
    chat_turns,
    conversation,
    first_user_turn,
    prompt_turns,
    split_answer,
    split_prompt,
)
from pipelines.models.conversation import Conversation, Turn


def read(source: TrlParams, reading: PairReading) -> Iterator[Item]:
    """Rows `{prompt?, chosen, rejected}` or `{prompt, completion, label}`, each text or a list of turns;
    `tools` beside them.
    """
    return items(source, reading, lambda row, side: _item(row, side, reading.name))


def _item(row: Mapping[str, Any], side: Side, name: str) -> Item:
    if row.get("chosen") is not None or row.get("rejected") is not None:
        prompt, chosen, rejected, turns = two_answers(
            row, "prompt" if row.get("prompt") is not None else None, "chosen", "rejected"
        )
        return Preference(prompt, chosen, rejected, name, side, key=key_of(turns), conversation=turns)
    if "completion" not in row:
        raise BadRow("no columns chosen and rejected, and no column completion")
    prompt, answer, turns = one_answer(row, "prompt", "completion")
    return Labelled(
        prompt, answer, float(flag(row, "label")), name, side, key=key_of(turns), conversation=turns
    )


def key_of(turns: Conversation | None) -> str:
    """Conversations that begin alike stay on one side of a split."""
    return first_user_turn(turns.turns) if turns is not None and len(turns.turns) > 1 else ""


def two_answers(
    row: Mapping[str, Any], prompt: str | None, chosen: str, rejected: str
) -> tuple[str, str, str, Conversation | None]:
    """The prompt as text, both answers, and the prompt as turns where the row holds turns. `prompt` None:
    what both columns begin with.
    """
    lists = [isinstance(cell(row, column), list) for column in (chosen, rejected)]
    if lists[0] != lists[1]:
        raise BadRow(f"of {chosen} and {rejected} one is text, the other a list of turns")
    if prompt is not None:
        (asked, first, turns), (_, second, other) = (
            one_answer(row, prompt, column) for column in (chosen, rejected)
        )
        if turns != other:
            raise BadRow(f"{chosen} and {rejected} begin with different turns")
        return asked, first, second, turns
    if not lists[0]:
        asked, first, second = common_beginning(text(row, chosen, True), text(row, rejected, True))
        return asked, first, second, None
    before, first = split_answer(chat_turns(cell(row, chosen), chosen), chosen)
    after, second = split_answer(chat_turns(cell(row, rejected), rejected), rejected)
    if before != after:
        raise BadRow(f"{chosen} and {rejected} begin with different turns")
    if not before:
        raise BadRow(f"{chosen} and {rejected} hold no prompt, and there is no column for it")
    turns = _asked(before, chosen, row)
    return turns.transcript, first, second, turns


def one_answer(row: Mapping[str, Any], prompt: str, answer: str) -> tuple[str, str, Conversation | None]:
    """The prompt as text, the answer, and the prompt as turns where one of the two columns holds turns."""
    found = cell(row, answer)
    if not isinstance(found, list) and not isinstance(cell(row, prompt), list):
        return text(row, prompt), text(row, answer, True), None
    asked = prompt_turns(row, prompt)
    if isinstance(found, list):
        asked, own = split_prompt(chat_turns(found, answer), asked, answer, prompt)
        rest, said = split_answer(own, answer)
        if rest:
            raise BadRow(f"{answer} holds other turns beside its last one, which {prompt} should hold")
    else:
        said = text(row, answer, True)
    turns = _asked(asked, prompt, row)
    return turns.transcript, said, turns


def _asked(turns: list[Turn], column: str, row: Mapping[str, Any]) -> Conversation:
    found = conversation(turns, column, row.get("tools"))
    if found.answered:
        raise BadRow(f"{column}: the turns before the answer end with one of the assistant")
    return found


def common_beginning(chosen: str, rejected: str) -> tuple[str, str, str]:
    """The prompt that two texts begin with, and what follows it in each. No word is cut in two, and one blank
    before the answers belongs to them, as in TRL's `extract_prompt`.
    """
    least = min(len(chosen), len(rejected))
    place = next((place for place in range(least) if chosen[place] != rejected[place]), least)

    def inside(at: int) -> bool:
        around = [one[at - 1 : at + 1] for one in (chosen, rejected)]
        return at > 0 and any(len(two) == 2 and two.isascii() and two.isalnum() for two in around)

    while inside(place):
        place -= 1
    if place and chosen[place - 1] == " ":
        place -= 1
    return chosen[:place], chosen[place:], rejected[place:]
