"""Which layout the rows of a table have, by the names of their columns and what these hold: those of TRL's
page of data set formats, and the usual names of questions with answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["demonstrations", "texts", "questions", "prompts", "pairs"]
Row = Mapping[str, Any]

CONVERSATIONS = ("messages", "conversations", "conversation", "dialogue")
QUESTIONS = ("question", "problem", "query", "prompt", "instruction", "input")
ANSWERS = (
    "answer",
    "final_answer",
    "ground_truth",
    "reward_model.ground_truth",
    "expected_answer",
    "reference",
    "target",
    "solution",
)
RESPONSES = ("completion", "response", "output")
SHOWN, LONGEST = 3, 60  # rows, and characters of a value, that an error shows
UNDERSTOOD = """\
  messages                                  a conversation: a list of {role, content} (SFT)
  prompt, completion                        text or turns (SFT)
  text                                      all of it is learnt (SFT)
  prompt                                    text or turns (GRPO and others, with a reward function of yours)
  prompt?, chosen, rejected                 text or turns; without prompt where both begin alike (DPO)
  prompt, completion, label                 true or false (DPO: answers to one prompt are paired)
  question, answer, solution?               also problem, query, ground_truth and others (GRPO and others)"""


class UnknownLayout(ValueError):
    """The rows have none of the layouts; the message shows their columns and the layouts."""


@dataclass(frozen=True)
class Layout:
    """`name`: for people; `kind`: what the rows serve as; `columns`: what the reader's `columns` must say,
    where its defaults differ; `options`: further options of the reader; `demonstrated`: questions come with
    demonstrations; `ignored`: columns that nothing reads.
    """

    name: str
    kind: Kind
    columns: Mapping[str, str | None] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    demonstrated: bool = False
    ignored: tuple[str, ...] = ()


def layout_of(rows: Sequence[Row], where: str) -> Layout:
    """Returns the layout that most of the rows have. Raises UnknownLayout; `where` is for the message."""
    held = _held(rows)
    layout = next((layout for find in FINDERS if (layout := find(held, rows)) is not None), None)
    if layout is None:
        raise UnknownLayout(_unknown(rows, where))
    return layout


def _held(rows: Sequence[Row]) -> dict[str, Any]:
    """Returns the columns that at least half of the rows have a value in, with the first such value."""
    values: dict[str, list[Any]] = {}
    for row in rows:
        for name in (*row, "reward_model.ground_truth"):
            value: Any = row
            for part in name.split(".") if name not in row else [name]:
                value = value.get(part) if isinstance(value, Mapping) else None
            if value is not None and value != "":
                values.setdefault(name, []).append(value)
    return {name: given[0] for name, given in values.items() if 2 * len(given) >= len(rows)}


def _pairs(held: Mapping[str, Any], rows: Sequence[Row]) -> Layout | None:
    if not {"chosen", "rejected"} <= held.keys():
        return None
    form = "turns" if is_turns(held["chosen"]) else "text"
    prompt = "its prompt in a column" if "prompt" in held else "the prompt as the answers' common beginning"
    return _layout(f"preference ({form}, {prompt})", "pairs", held, ["prompt", "chosen", "rejected", "tools"])


def _labelled(held: Mapping[str, Any], rows: Sequence[Row]) -> Layout | None:
    if not {"prompt", "completion", "label"} <= held.keys() or not isinstance(held["label"], bool):
        return None
    form = "turns" if is_turns(held["completion"]) else "text"
    return _layout(f"unpaired preference ({form})", "pairs", held, ["prompt", "completion", "label", "tools"])


def _conversations(held: Mapping[str, Any], rows: Sequence[Row]) -> Layout | None:
    name = next((name for name in CONVERSATIONS if is_turns(held.get(name))), None)
    if name is None:
        return None
    columns = {} if name == "messages" else {"messages": name}
    return _layout("conversation", "demonstrations", held, [name, "prompt", "tools"], columns)


def _completions(held: Mapping[str, Any], rows: Sequence[Row]) -> Layout | None:
    """Alpaca's rows {instruction, input?, output} among them, where no row has an input."""
    prompt = next((name for name in ("prompt", "instruction", "question", "query") if name in held), None)
    answer = next((name for name in RESPONSES if name in held), None)
    if prompt is None or answer is None or any(name in held for name in ANSWERS):
        return None
    if prompt == "instruction" and any(str(row.get("input") or "").strip() for row in rows):
        return None
    names = {"prompt": prompt, "completion": answer}
    columns = {key: name for key, name in names.items() if key != name}
    form = "turns" if is_turns(held[prompt]) or is_turns(held[answer]) else "text"
    return _layout(f"prompt and completion ({form})", "demonstrations", held, [prompt, answer], columns)


def _questions(held: Mapping[str, Any], rows: Sequence[Row]) -> Layout | None:
    question = next((name for name in QUESTIONS if name in held), None)
    answer = next((name for name in ANSWERS if name in held), None)
    if question is None or answer is None:
        return None
    columns: dict[str, str | None] = {"question": question, "answer": answer}
    if "solution" in held and answer != "solution":
        columns["solution"] = "solution"
    texts = [str(row[answer]) for row in rows if answer in row and row[answer] is not None]
    marked = bool(texts) and all("####" in text for text in texts)
    columns = {key: name for key, name in columns.items() if key != name or key == "solution"}
    options = {"answer_after": "####"} if marked else {}
    read = [question, answer, "solution", "tools", "reward_model"]
    return _layout(
        "question and answer", "questions", held, read, columns, options, marked or "solution" in columns
    )


def _texts(held: Mapping[str, Any], rows: Sequence[Row]) -> Layout | None:
    return _layout("text", "texts", held, ["text"]) if isinstance(held.get("text"), str) else None


def _prompts(held: Mapping[str, Any], rows: Sequence[Row]) -> Layout | None:
    if "completions" in held or "labels" in held:  # stepwise supervision, which no stage learns from
        return None
    prompt = next((name for name in QUESTIONS[:4] if name in held), None)
    if prompt is None:
        return None
    form = "turns" if is_turns(held[prompt]) else "text"
    columns: dict[str, str | None] = {"question": prompt, "answer": None}
    return _layout(f"prompt only ({form})", "prompts", held, [prompt, "tools"], columns)


FINDERS = (_pairs, _labelled, _conversations, _completions, _questions, _texts, _prompts)


def _layout(
    name: str,
    kind: Kind,
    held: Mapping[str, Any],
    read: Sequence[str],
    columns: Mapping[str, str | None] | None = None,
    options: Mapping[str, Any] | None = None,
    demonstrated: bool = False,
) -> Layout:
    ignored = tuple(column for column in held if column not in read and "." not in column)
    return Layout(name, kind, columns or {}, options or {}, demonstrated, ignored)


def is_turns(value: Any) -> bool:
    """Returns whether a value is a list of {role, content} or {from, value} objects."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, Mapping) and ("role" in turn or "from" in turn) for turn in value)
    )


def _unknown(rows: Sequence[Row], where: str) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    stepwise = (
        "\nThese are rows of stepwise supervision (completions with labels), which no stage here learns from."
        if {"completions", "labels"} <= set(columns)
        else ""
    )
    lines = "\n".join(f"  {line}" for line in _shown(rows[:SHOWN]))
    return (
        f"{where}: of no layout that is known. Its columns: {', '.join(columns) or 'none'}; its first rows:"
        f"\n{lines}\nUnderstood are these columns (JSON Lines, JSON, CSV or Parquet, plain or .gz):\n"
        f"{UNDERSTOOD}{stepwise}\nRename the columns, or map them in a recipe with `columns` "
        "(docs/own-data.md)"
    )


def _shown(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        values = (
            f"{name}: {text if len(text) <= LONGEST else text[:LONGEST] + '…'}"
            for name, value in row.items()
            for text in [json.dumps(value, ensure_ascii=False, default=str)]
        )
        yield "{" + ", ".join(values) + "}"
