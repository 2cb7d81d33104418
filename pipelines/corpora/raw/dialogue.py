"""Dialogues: turns from the forms in which raw data writes them, and the one text that stands for a prompt
where there is no chat template.

A prompt of one turn is that turn, as everywhere in the pipeline; the text of a longer one names who speaks.
With a chat template the turns themselves are rendered, by `rendering`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from pipelines.corpora.cleaning.spool import Spool
from pipelines.corpora.raw.columns import BadRow, cell
from pipelines.corpora.raw.problem import Problem
from pipelines.models.conversation import NAMES, ROLES, BadConversation, Conversation, Turn

LAST_TURN = "\n\nAssistant:"
TURN = re.compile(r"\n\n(Human|Assistant):")


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
    """The user's first turn: dialogues that begin alike are continuations of one conversation, and stay
    together in a split.
    """
    return next((turn.text for turn in turns if turn.role == "user"), "")


def split_last(dialogue: str, column: str) -> tuple[str, str]:
    """HH-RLHF's form -> (all up to and including the last `\\n\\nAssistant:`, what follows it). BadRow when
    there is no such turn.
    """
    before, mark, answer = dialogue.rpartition(LAST_TURN)
    if not mark:
        raise BadRow(f"{column} has no turn of the Assistant")
    return before + mark, answer


def said(text: str) -> str:
    """HH-RLHF writes one blank between a speaker's colon and what is said; the rest is the speaker's."""
    return text.removeprefix(" ")


def turns_of(prefix: str) -> list[Turn]:
    """The turns of HH-RLHF's form; the open turn at its end is none. BadRow when something stands before the
    first marker.
    """
    parts = TURN.split(prefix.removesuffix(LAST_TURN))
    if parts[0].strip():
        raise BadRow("the dialogue does not begin with a turn")
    return [
        Turn("user" if name == "Human" else "assistant", said(text))
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    ]


def chat_turns(found: Any, column: str) -> list[Turn]:
    """A list of `{role, content}` or `{from, value}` objects. BadRow names the column and what is wrong with
    it.
    """
    if not isinstance(found, Sequence) or isinstance(found, str) or not found:
        raise BadRow(f"{column} is no list of turns")
    return [chat_turn(turn, f"{column}[{number}]") for number, turn in enumerate(found)]


def chat_turn(turn: Any, where: str) -> Turn:
    """One such object; other keys that hold something go to the template. BadRow names `where`."""
    role, content = ("from", "value") if isinstance(turn, Mapping) and "from" in turn else ("role", "content")
    if not isinstance(turn, Mapping):
        raise BadRow(f"{where} has no text under {content}")
    said = _content(turn.get(content), bool(turn.get("tool_calls")), where, content)
    if turn.get(role) not in ROLES:
        raise BadRow(f"{where}.{role} is {str(turn.get(role))[:40]!r}, not one of {', '.join(ROLES)}")
    more = {
        key: value
        for key, value in turn.items()
        if key not in (role, content) and value not in (None, [], "")
    }
    silenced = [key for key in ("weight", "train", "training") if key in more and not more[key]]
    if silenced and ROLES[turn[role]] == "assistant":
        raise BadRow(
            f"{where}.{silenced[0]} says that this turn is not learnt; which turns are is said by the "
            f"source's loss alone"
        )
    if calls := more.get("tool_calls"):
        more["tool_calls"] = _calls(calls, where)
    return Turn(ROLES[turn[role]], said, more)


def _content(found: Any, calls: bool, where: str, content: str) -> str:
    """Text, or a list of parts that are text; nothing where tools are called."""
    if found is None and calls:
        return ""
    if isinstance(found, list) and found:
        parts = [
            part.get("text") if isinstance(part, Mapping) and part.get("type", "text") == "text" else None
            for part in found
        ]
        if not all(isinstance(part, str) for part in parts):
            raise BadRow(f"{where}.{content} has a part that is no text")
        return "".join(map(str, parts))
    if not isinstance(found, str):
        raise BadRow(f"{where} has no text under {content}")
    return found


def _calls(calls: Any, where: str) -> list[dict[str, Any]]:
    """OpenAI's interface sends a call's arguments as JSON text; templates take the object, and would write
    the text as a string of JSON.
    """
    if not isinstance(calls, list) or not all(isinstance(call, Mapping) for call in calls):
        raise BadRow(f"{where}.tool_calls is no list of calls")
    found = []
    for call in calls:
        inner = call.get("function")
        if isinstance(inner, Mapping):
            found.append({**call, "function": _with_object(inner)})
        else:
            found.append(_with_object(call))
    return found


def _with_object(call: Mapping[str, Any]) -> dict[str, Any]:
    said = call.get("arguments")
    try:
        read = json.loads(said) if isinstance(said, str) else said
    except ValueError:
        read = said  # no JSON: it stays the text that it is
    return {**call, **({"arguments": read} if isinstance(read, Mapping) else {})}


def conversation(turns: Sequence[Turn], column: str, tools: Any = None) -> Conversation:
    """The turns, in order and none empty that must not be, or BadRow. `tools`: JSON schemas, as a list or as
    its JSON text.
    """
    try:
        found = json.loads(tools) if isinstance(tools, str) and tools.strip() else tools or []
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(tool, Mapping) for tool in found):
        raise BadRow("tools is no list of JSON schemas")
    try:
        return Conversation.of(turns, column, found)
    except BadConversation as fault:
        raise BadRow(str(fault)) from fault


def prompt_turns(row: Mapping[str, Any], column: str) -> list[Turn]:
    """A column that holds the prompt, as text or as turns up to one of the user or a tool."""
    found = cell(row, column)
    turns = [Turn("user", found)] if isinstance(found, str) else chat_turns(found, column)
    if turns[-1].role not in ("user", "tool"):
        raise BadRow(f"{column} ends with a turn of the {turns[-1].role}: it must end before the assistant's")
    return turns


def beside_prompt(
    turns: Sequence[Turn], prompt: Sequence[Turn], column: str, prompt_column: str
) -> tuple[list[Turn], list[Turn]]:
    """The prompt, and the turns of `column` that follow it. They may repeat the prompt, with or without a
    system turn; BadRow where they begin with another one.
    """
    if turns[0].role == "assistant":
        return list(prompt), list(turns)
    system = 1 if prompt[0].role == "system" else 0
    for own in (0, system):
        if list(turns[: len(prompt) - own]) == list(prompt[own:]):
            return list(prompt), list(turns[len(prompt) - own :])
    if turns[0].role == "system" and not system and list(turns[1 : len(prompt) + 1]) == list(prompt):
        return list(turns[: len(prompt) + 1]), list(turns[len(prompt) + 1 :])
    raise BadRow(f"{prompt_column} and the turns that {column} begins with are different prompts")


def answered(turns: Sequence[Turn], column: str) -> tuple[list[Turn], str]:
    """The turns before the last, and what the last one says. BadRow when it is not the assistant's."""
    if not turns or turns[-1].role != "assistant":
        raise BadRow(f"{column} does not end with a turn of the assistant")
    if turns[-1].said != turns[-1].text:
        raise BadRow(f"{column} ends with a call of tools and no text")
    return list(turns[:-1]), turns[-1].text


def without_opening(problems: Iterable[Problem]) -> Iterator[Problem]:
    """With questions that leave out the turns which all conversations begin with (a system turn, worked
    examples), the last turn of a prompt never among them: such turns say nothing about a question, and would
    make all of them near-duplicates. The turns stay.

    Conversations wait on disk until all are seen.
    """
    waiting: Spool[Problem] = Spool()
    shared: tuple[Turn, ...] = ()
    for problem in problems:
        if problem.conversation is None:
            yield problem
            continue
        turns = problem.conversation.prompt.turns[:-1]
        both = zip(shared, turns, strict=False) if len(waiting) else zip(turns, turns, strict=True)
        shared = tuple(one for one, _ in takewhile(lambda two: two[0] == two[1], both))
        waiting.extend([problem])
    left_out = len(shared) if len(waiting) > 1 else 0
    for place in range(len(waiting)):
        problem = waiting[place]
        if problem.conversation is not None and left_out:
            rest = Conversation(problem.conversation.turns[left_out:]).transcript
            problem = replace(
                problem, question=rest, key="" if problem.key == opening(shared) else problem.key
            )
        yield problem
