"""Dialogues: turns from the forms in which raw data writes them, and the text of a prompt where there is no
chat template.

The text of a prompt of one turn is that turn; the text of a longer one names the speakers. With a chat
template the turns themselves are rendered, by `rendering`.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from pipelines.corpora.cleaning.spool import Spool
from pipelines.corpora.raw.columns import BadRow, cell
from pipelines.corpora.raw.problem import Problem
from pipelines.models.conversation import NAMES, ROLES, BadConversation, Conversation, Turn, role_of

LAST_TURN = "\n\nAssistant:"
TURN = re.compile(r"\n\n(Human|Assistant):")


def as_text(turns: Sequence[Turn]) -> str:
    """Returns the prompt text. Raises BadRow when all turns are empty, or the last one is not the user's."""
    not_empty = [turn for turn in turns if turn.text.strip()]
    if not not_empty:
        raise BadRow("the prompt is empty")
    if not_empty[-1].role != "user":
        raise BadRow(f"the prompt ends with a turn of the {not_empty[-1].role}, not of the user")
    if len(not_empty) == 1:
        return not_empty[0].text
    return "\n\n".join(f"{NAMES[turn.role]}: {turn.text}" for turn in not_empty)


def first_user_turn(turns: Sequence[Turn]) -> str:
    """Returns the text of the first turn of the user: dialogues that begin alike are continuations of one
    conversation, and stay on one side of a split.
    """
    return next((turn.text for turn in turns if turn.role == "user"), "")


def split_last(dialogue: str, column: str) -> tuple[str, str]:
    """Splits a dialogue in HH-RLHF's form into (everything up to and including the last `\\n\\nAssistant:`,
    the text after it). Raises BadRow when there is no such turn.
    """
    prompt, mark, answer = dialogue.rpartition(LAST_TURN)
    if not mark:
        raise BadRow(f"{column} has no turn of the Assistant")
    return prompt + mark, answer


def without_first_blank(text: str) -> str:
    """Returns the text without the space that HH-RLHF writes after the colon of a speaker; further spaces
    belong to the turn.
    """
    return text.removeprefix(" ")


def turns_of(prefix: str) -> list[Turn]:
    """Returns the turns of a dialogue in HH-RLHF's form, without the open turn at its end. Raises BadRow when
    there is text before the first marker.
    """
    parts = TURN.split(prefix.removesuffix(LAST_TURN))
    if parts[0].strip():
        raise BadRow("the dialogue does not begin with a turn")
    return [
        Turn("user" if name == "Human" else "assistant", without_first_blank(text))
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    ]


def chat_turns(value: Any, column: str) -> list[Turn]:
    """Returns the turns of a list of `{role, content}` or `{from, value}` objects, which may be JSON text, as
    in a CSV file. Raises BadRow, naming the column and its fault.
    """
    value = as_list(value)
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise BadRow(f"{column} is no list of turns")
    return [chat_turn(turn, f"{column}[{number}]") for number, turn in enumerate(value)]


def as_list(value: Any) -> Any:
    """Returns the list that a text holds as JSON; any other value as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def chat_turn(turn: Any, where: str) -> Turn:
    """Returns the turn of one such object; other keys with a value are passed on to the template. Raises
    BadRow, naming `where`.
    """
    if not isinstance(turn, Mapping):
        raise BadRow(f"{where} is {type(turn).__name__}, no turn with a role and a content")
    role, content = ("from", "value") if "from" in turn else ("role", "content")
    text = _content(turn.get(content), bool(turn.get("tool_calls")), where, content)
    speaker = role_of(turn.get(role))
    if speaker is None:
        raise BadRow(f"{where}.{role} is {str(turn.get(role))[:40]!r}, not one of {', '.join(ROLES)}")
    other_keys = {
        key: value
        for key, value in turn.items()
        if key not in (role, content) and value not in (None, [], "")
    }
    masks = [key for key in ("weight", "train", "training") if key in other_keys and not other_keys[key]]
    if masks and speaker == "assistant":
        raise BadRow(
            f"{where}.{masks[0]} says that this turn is not learnt; which turns are is said by the "
            f"source's loss alone"
        )
    if calls := other_keys.get("tool_calls"):
        other_keys["tool_calls"] = _calls(calls, where)
    return Turn(speaker, text, other_keys)


def _content(value: Any, calls: bool, where: str, content: str) -> str:
    """Returns the text of a turn, which may be a list of text parts; empty where it only calls tools."""
    if value is None and calls:
        return ""
    if isinstance(value, list) and value:
        parts = [
            part.get("text") if isinstance(part, Mapping) and part.get("type", "text") == "text" else None
            for part in value
        ]
        if not all(isinstance(part, str) for part in parts):
            raise BadRow(f"{where}.{content} has a part that is no text")
        return "".join(map(str, parts))
    if not isinstance(value, str):
        raise BadRow(f"{where} has no text under {content}")
    return value


def _calls(calls: Any, where: str) -> list[dict[str, Any]]:
    """Returns tool calls with their arguments as objects. OpenAI's interface sends them as JSON text;
    templates take the object, and would write the text as a JSON string.
    """
    if not isinstance(calls, list) or not all(isinstance(call, Mapping) for call in calls):
        raise BadRow(f"{where}.tool_calls is no list of calls")
    converted = []
    for call in calls:
        function = call.get("function")
        if isinstance(function, Mapping):
            converted.append({**call, "function": _with_object(function)})
        else:
            converted.append(_with_object(call))
    return converted


def _with_object(call: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the call with its arguments parsed, where they are a JSON object."""
    arguments = call.get("arguments")
    try:
        parsed = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        parsed = arguments  # no JSON: it stays the text that it is
    return {**call, **({"arguments": parsed} if isinstance(parsed, Mapping) else {})}


def conversation(turns: Sequence[Turn], column: str, tools: Any = None) -> Conversation:
    """Returns the conversation of these turns. `tools`: JSON schemas, as a list or as JSON text. Raises
    BadRow where the order of the turns is wrong, or a turn that needs text is empty.
    """
    try:
        schemas = json.loads(tools) if isinstance(tools, str) and tools.strip() else tools or []
    except ValueError:
        schemas = None
    if not isinstance(schemas, list) or not all(isinstance(tool, Mapping) for tool in schemas):
        raise BadRow("tools is no list of JSON schemas")
    try:
        return Conversation.of(turns, column, schemas)
    except BadConversation as fault:
        raise BadRow(str(fault)) from fault


def prompt_turns(row: Mapping[str, Any], column: str) -> list[Turn]:
    """Returns the turns of a column that holds the prompt, as text or as turns that end with one of the user
    or a tool. Raises BadRow.
    """
    value = cell(row, column)
    turns = [Turn("user", value)] if isinstance(value, str) else chat_turns(value, column)
    if turns[-1].role not in ("user", "tool"):
        raise BadRow(f"{column} ends with a turn of the {turns[-1].role}: it must end before the assistant's")
    return turns


def split_prompt(
    turns: Sequence[Turn], prompt: Sequence[Turn], column: str, prompt_column: str
) -> tuple[list[Turn], list[Turn]]:
    """Returns the prompt, and the turns of `column` after it. They may repeat the prompt, with or without a
    system turn. Raises BadRow where they begin with another prompt.
    """
    if turns[0].role == "assistant":
        return list(prompt), list(turns)
    system = 1 if prompt[0].role == "system" else 0
    for skipped in (0, system):
        if list(turns[: len(prompt) - skipped]) == list(prompt[skipped:]):
            return list(prompt), list(turns[len(prompt) - skipped :])
    if turns[0].role == "system" and not system and list(turns[1 : len(prompt) + 1]) == list(prompt):
        return list(turns[: len(prompt) + 1]), list(turns[len(prompt) + 1 :])
    raise BadRow(f"{prompt_column} and the turns that {column} begins with are different prompts")


def split_answer(turns: Sequence[Turn], column: str) -> tuple[list[Turn], str]:
    """Returns the turns before the last one, and the text of the last one. Raises BadRow when that is not the
    assistant's.
    """
    if not turns or turns[-1].role != "assistant":
        raise BadRow(f"{column} does not end with a turn of the assistant")
    if turns[-1].said != turns[-1].text:
        raise BadRow(f"{column} ends with a call of tools and no text")
    return list(turns[:-1]), turns[-1].text


def without_shared_turns(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yields the problems with questions that leave out the turns which all conversations begin with (a
    system turn, worked examples), but never the last turn of a prompt: such turns say nothing about a
    question, and would make all of them near-duplicates. The conversations keep the turns.

    Conversations are kept on disk until all have been read.
    """
    waiting: Spool[Problem] = Spool()
    shared: tuple[Turn, ...] = ()
    for problem in problems:
        if problem.conversation is None:
            yield problem
            continue
        turns = problem.conversation.prompt.turns[:-1]
        turn_pairs = zip(shared, turns, strict=False) if len(waiting) else zip(turns, turns, strict=True)
        shared = tuple(first for first, _ in takewhile(lambda pair: pair[0] == pair[1], turn_pairs))
        waiting.extend([problem])
    left_out = len(shared) if len(waiting) > 1 else 0
    for index in range(len(waiting)):
        problem = waiting[index]
        if problem.conversation is not None and left_out:
            transcript = Conversation(problem.conversation.turns[left_out:]).transcript
            problem = replace(
                problem,
                question=transcript,
                key="" if problem.key == first_user_turn(shared) else problem.key,
            )
        yield problem
