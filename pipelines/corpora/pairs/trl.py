"""Preference data in the layouts that TRL documents: text or lists of turns, with the prompt in a column of
its own or as the common beginning of both answers, and unpaired answers with a label.

The columns of a row say which layout it has. A row that contradicts itself is bad: other turns in `chosen`
than in `prompt`, two beginnings that differ, no turn of the assistant at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.pairs.options import TrlParams
from pipelines.corpora.preferences.pair import Labelled, Preference
from pipelines.corpora.preferences.pair_rows import PairItem, PairReading, items
from pipelines.corpora.raw.columns import BadRow, cell, text, truth
from pipelines.corpora.raw.dialogue import (
    chat_turns,
    conversation,
    first_user_turn,
    prompt_turns,
    split_answer,
    split_prompt,
)
from pipelines.models.conversation import Conversation, Turn


def read(source: TrlParams, reading: PairReading) -> Iterator[PairItem]:
    """Yields rows `{prompt?, chosen, rejected}` or `{prompt, completion, label}`, each text or a list of
    turns, with an optional column `tools`.
    """
    return items(source, reading, lambda row, side: _item(row, side, reading.name))


def _item(row: Mapping[str, Any], side: Side, name: str) -> PairItem:
    if row.get("chosen") is not None or row.get("rejected") is not None:
        prompt, chosen, rejected, turns = two_answers(
            row, "prompt" if row.get("prompt") is not None else None, "chosen", "rejected"
        )
        return Preference(prompt, chosen, rejected, name, side, key=split_key(turns), conversation=turns)
    if "completion" not in row:
        raise BadRow("no columns chosen and rejected, and no column completion")
    prompt, answer, turns = one_answer(row, "prompt", "completion")
    return Labelled(prompt, answer, _label(row), name, side, key=split_key(turns), conversation=turns)


def _label(row: Mapping[str, Any]) -> float:
    label = truth(row.get("label"))
    if label is None:
        raise BadRow(f"label is {str(row.get('label'))[:40]!r}, not true or false, 1 or 0")
    return float(label)


def split_key(turns: Conversation | None) -> str:
    """Returns the split key of a prompt: conversations that begin alike are on one side of a split."""
    return first_user_turn(turns.turns) if turns is not None and len(turns.turns) > 1 else ""


def two_answers(
    row: Mapping[str, Any], prompt: str | None, chosen: str, rejected: str
) -> tuple[str, str, str, Conversation | None]:
    """Returns the prompt as text, both answers, and the prompt as turns where the row holds turns. `prompt`
    None: the common beginning of both columns. Raises BadRow.
    """
    lists = [isinstance(cell(row, column), list) for column in (chosen, rejected)]
    if lists[0] != lists[1]:
        raise BadRow(f"of {chosen} and {rejected} one is text, the other a list of turns")
    if prompt is not None:
        (prompt_text, first, turns), (_, second, other_turns) = (
            one_answer(row, prompt, column) for column in (chosen, rejected)
        )
        if turns != other_turns:
            raise BadRow(f"{chosen} and {rejected} begin with different turns")
        return prompt_text, first, second, turns
    if not lists[0]:
        prompt_text, first, second = common_beginning(text(row, chosen, True), text(row, rejected, True))
        return prompt_text, first, second, None
    chosen_prompt, first = split_answer(chat_turns(cell(row, chosen), chosen), chosen)
    rejected_prompt, second = split_answer(chat_turns(cell(row, rejected), rejected), rejected)
    if chosen_prompt != rejected_prompt:
        raise BadRow(f"{chosen} and {rejected} begin with different turns")
    if not chosen_prompt:
        raise BadRow(f"{chosen} and {rejected} hold no prompt, and there is no column for it")
    turns = _prompt_conversation(chosen_prompt, chosen, row)
    return turns.transcript, first, second, turns


def one_answer(row: Mapping[str, Any], prompt: str, answer: str) -> tuple[str, str, Conversation | None]:
    """Returns the prompt as text, the answer, and the prompt as turns where one of the two columns holds
    turns. Raises BadRow.
    """
    value = cell(row, answer)
    if not isinstance(value, list) and not isinstance(cell(row, prompt), list):
        return text(row, prompt), text(row, answer, True), None
    prompt_part = prompt_turns(row, prompt)
    if isinstance(value, list):
        prompt_part, answer_turns = split_prompt(chat_turns(value, answer), prompt_part, answer, prompt)
        other_turns, answer_text = split_answer(answer_turns, answer)
        if other_turns:
            raise BadRow(f"{answer} holds other turns beside its last one, which {prompt} should hold")
    else:
        answer_text = text(row, answer, True)
    turns = _prompt_conversation(prompt_part, prompt, row)
    return turns.transcript, answer_text, turns


def _prompt_conversation(turns: list[Turn], column: str, row: Mapping[str, Any]) -> Conversation:
    """Returns the turns of a prompt as a conversation. Raises BadRow where they end with a turn of the
    assistant.
    """
    prompt = conversation(turns, column, row.get("tools"))
    if prompt.answered:
        raise BadRow(f"{column}: the turns before the answer end with one of the assistant")
    return prompt


def common_beginning(chosen: str, rejected: str) -> tuple[str, str, str]:
    """Returns the prompt that two texts begin with, and the rest of each. No word is cut in two, and one
    space before the answers belongs to them, as in TRL's `extract_prompt`.
    """
    shorter = min(len(chosen), len(rejected))
    end = next((end for end in range(shorter) if chosen[end] != rejected[end]), shorter)

    def inside(index: int) -> bool:
        neighbours = [text[index - 1 : index + 1] for text in (chosen, rejected)]
        return index > 0 and any(len(pair) == 2 and pair.isascii() and pair.isalnum() for pair in neighbours)

    while inside(end):
        end -= 1
    if end and chosen[end - 1] == " ":
        end -= 1
    return chosen[:end], chosen[end:], rejected[end:]
