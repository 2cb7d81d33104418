"""Conversations to train on, in the layouts that TRL documents: `messages`, `prompt` and `completion`, or
`text`.

The turns stay turns until the model's chat template renders them. A row that contradicts itself (roles out of
order, an end that is not the assistant's, a prompt column with other turns) is bad.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.raw.columns import BadRow, cell, text
from pipelines.corpora.raw.dialogue import (
    chat_turns,
    conversation,
    first_user_turn,
    prompt_turns,
    split_prompt,
    without_shared_turns,
)
from pipelines.corpora.raw.problem import Problem, Reading, Role
from pipelines.corpora.raw.tables import table_rows
from pipelines.corpora.readers.options import MessagesSource
from pipelines.models.chat import Loss
from pipelines.models.conversation import Turn


def read(source: MessagesSource, reading: Reading) -> Iterator[Problem]:
    """Yields problems of every split named; their answer is the last turn, which no rule checks."""
    for role, split in source.splits.items():
        yield from without_shared_turns(_problems(source, reading, role, split))


def _problems(source: MessagesSource, reading: Reading, role: Role, split: str) -> Iterator[Problem]:
    for where, row in table_rows(source, reading, split):
        try:
            problem = _problem(row, where, role, source, reading.name)
        except BadRow as fault:
            reading.ledger.reject(where, str(fault))
        else:
            reading.ledger.accept()
            yield problem


def _problem(row: Mapping[str, Any], where: str, role: Role, source: MessagesSource, name: str) -> Problem:
    columns = source.columns
    if cell(row, columns.messages) is not None:
        turns, first_trained = _messages(row, source), 0
    elif cell(row, columns.completion) is not None:
        prompt, completion = cell(row, columns.prompt), cell(row, columns.completion)
        if not isinstance(prompt, list) and not isinstance(completion, list):
            return _question(row, where, role, source, name)
        prompt_part = prompt_turns(row, columns.prompt)
        answer_turns = (
            [Turn("assistant", completion)]
            if isinstance(completion, str)
            else chat_turns(completion, columns.completion)
        )
        prompt_part, answer_turns = split_prompt(
            answer_turns, prompt_part, columns.completion, columns.prompt
        )
        turns, first_trained = [*prompt_part, *answer_turns], len(prompt_part)
    elif cell(row, columns.text) is not None:
        return _text(row, where, role, source, name)
    else:
        raise BadRow(
            f"no column {columns.messages}, no {columns.prompt} with {columns.completion}, and no "
            f"{columns.text}"
        )
    dialogue = conversation(
        turns, columns.messages if first_trained == 0 else columns.completion, cell(row, columns.tools)
    )
    if not dialogue.answered:
        raise BadRow(
            f"the conversation ends with a turn of the {dialogue.turns[-1].role}, not of the assistant"
        )
    answer = dialogue.turns[-1].said
    key = first_user_turn(turns) if columns.key is None else text(row, columns.key)
    loss: Loss = "last" if source.loss == "last" else first_trained or "every"
    return Problem(
        dialogue.transcript,
        answer,
        role,
        name,
        answer,
        key=key,
        conversation=dialogue,
        loss=loss,
        where=where,
    )


def _messages(row: Mapping[str, Any], source: MessagesSource) -> list[Turn]:
    """Returns the turns of a row. A prompt column, where there is one, must equal their beginning, as text
    their first turn of the user. Raises BadRow.
    """
    columns = source.columns
    turns = chat_turns(cell(row, columns.messages), columns.messages)
    prompt = cell(row, columns.prompt)
    if isinstance(prompt, str) and prompt.strip() and prompt.strip() != first_user_turn(turns).strip():
        raise BadRow(
            f"{columns.prompt} and the turns that {columns.messages} begins with are different prompts"
        )
    if isinstance(prompt, list) and prompt:
        split_prompt(turns, chat_turns(prompt, columns.prompt), columns.messages, columns.prompt)
    return turns


def _question(row: Mapping[str, Any], where: str, role: Role, source: MessagesSource, name: str) -> Problem:
    columns = source.columns
    answer = text(row, columns.completion)
    key = "" if columns.key is None else text(row, columns.key)
    prompt, given = text(row, columns.prompt), cell(row, columns.input) if columns.input else None
    if given is not None and (added := text(row, str(columns.input), empty=True)).strip():
        prompt = f"{prompt}\n\n{added}"
    return Problem(prompt, answer, role, name, answer, key=key, where=where)


def _text(row: Mapping[str, Any], where: str, role: Role, source: MessagesSource, name: str) -> Problem:
    if role != "sft":
        raise BadRow(
            f"{source.columns.text} has no prompt, so it can serve `sft` alone, not `{role}`: name its file "
            f"under splits.sft"
        )
    trained_text = text(row, source.columns.text)
    key = "" if source.columns.key is None else text(row, source.columns.key)
    return Problem(trained_text, trained_text, role, name, trained_text, key=key, loss="text", where=where)
