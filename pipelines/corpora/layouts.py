"""Which layout the rows of a table have, by the names of their columns and what these hold: those of TRL's
page of data set formats, and the usual names of questions with answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.corpora.raw.columns import BadRow, cell, plain, truth
from pipelines.corpora.raw.dialogue import as_list

Kind = Literal["demonstrations", "texts", "questions", "prompts", "pairs"]
Row = Mapping[str, Any]

NESTED = "reward_model.ground_truth"  # verl's rows
CONVERSATIONS = ("messages", "conversations", "conversation", "dialogue")
QUESTIONS = ("question", "problem", "query", "prompt", "instruction", "input")
ANSWERS = (
    "answer",
    "final_answer",
    "ground_truth",
    NESTED,
    "expected_answer",
    "reference",
    "target",
    "solution",
)
RESPONSES = ("completion", "response", "output")
ABSENT: tuple[Any, ...] = (None, "", [])
UNREAD_UNLESS_NAMED = ("solution", "input")  # whose default in the reader is no column
OTHER_LABELS = 0.1  # share of labels that say neither true nor false; of more the column is another thing
PAIRED = ({"chosen", "rejected"}, {"prompt", "completion", "label"})  # whose reader maps no column
SHOWN, LONGEST = 3, 60  # rows, and characters of a value, that an error shows
UNDERSTOOD = """\
  messages                                  a conversation: a list of {role, content} (SFT)
  prompt, completion                        text or turns (SFT); also instruction, input?, output
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
    demonstrations; `ignored`: columns that nothing reads; `kept`: those of them that a reward function may
    read.
    """

    name: str
    kind: Kind
    columns: Mapping[str, str | None] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    demonstrated: bool = False
    ignored: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


class Held(dict[str, Any]):
    """The columns that at least half of the rows have a value in, by their usual spelling, each with the
    first value of the type that most have. `named`: all columns as the rows spell them.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        values: dict[str, list[Any]] = {}
        for row in rows:
            for name in (*row, NESTED):
                if (value := cell(row, name) if name == NESTED else row[name]) not in ABSENT:
                    values.setdefault(name, []).append(value)
        held = {name: _typical(given) for name, given in values.items() if 2 * len(given) >= len(rows)}
        spelt = {name.strip().lower(): name for name in reversed(values) if "." not in name}
        self.named = {**spelt, **{name: name for name in values}}
        super().__init__({usual: held[name] for usual, name in self.named.items() if name in held})

    def first(self, names: Sequence[str]) -> str | None:
        return next((name for name in names if name in self), None)


def _typical(values: Sequence[Any]) -> Any:
    kinds = [(type(value), is_turns(as_list(value))) for value in values]
    return values[kinds.index(max(kinds, key=kinds.count))]


def layout_of(rows: Sequence[Row], where: str) -> Layout:
    """Returns the layout that most of the rows have. Raises UnknownLayout; `where` is for the message."""
    held = Held(rows)
    for names in PAIRED:
        present = {*names, "prompt"} & held.keys()
        other = [held.named[name] for name in present if held.named[name] != name]
        if names <= present and other:
            wanted = ", ".join(sorted(present))
            raise UnknownLayout(f"{where}: rename {', '.join(sorted(other))}: the reader takes just {wanted}")
    layout = next((layout for find in FINDERS if (layout := find(held, rows)) is not None), None)
    if layout is None:
        raise UnknownLayout(_unknown(rows, where))
    return layout


def _pairs(held: Held, rows: Sequence[Row]) -> Layout | None:
    if not held.keys() >= PAIRED[0]:
        return None
    form = "turns" if is_turns(held["chosen"]) else "text"
    prompt = "its prompt in a column" if "prompt" in held else "the prompt as the answers' common beginning"
    return _layout(f"preference ({form}, {prompt})", "pairs", held, more=("prompt", "chosen", "rejected"))


def _labelled(held: Held, rows: Sequence[Row]) -> Layout | None:
    if not held.keys() >= PAIRED[1]:
        return None
    labels = [truth(row["label"]) for row in rows if row.get("label") not in ABSENT]
    if labels.count(None) > OTHER_LABELS * len(labels):
        return None
    form = "turns" if is_turns(held["completion"]) else "text"
    return _layout(f"unpaired preference ({form})", "pairs", held, more=("prompt", "completion", "label"))


def _conversations(held: Held, rows: Sequence[Row]) -> Layout | None:
    name = next((name for name in CONVERSATIONS if is_turns(as_list(held.get(name)))), None)
    if name is None:
        return None
    return _layout("conversation", "demonstrations", held, {"messages": name}, more=("prompt",))


def _completions(held: Held, rows: Sequence[Row]) -> Layout | None:
    """Alpaca's rows {instruction, input?, output} among them."""
    prompt, answer = held.first(("prompt", "instruction", "question", "query")), held.first(RESPONSES)
    if prompt is None or answer is None or held.first(ANSWERS):
        return None
    columns = {"prompt": prompt, "completion": answer}
    if prompt == "instruction" and any(str(row.get("input") or "").strip() for row in rows):
        columns["input"] = "input"
    form = "turns" if is_turns(held[prompt]) or is_turns(held[answer]) else "text"
    return _layout(f"prompt and completion ({form})", "demonstrations", held, columns)


def _questions(held: Held, rows: Sequence[Row]) -> Layout | None:
    question, answer = held.first(QUESTIONS), held.first(ANSWERS)
    if question is None or answer is None:
        return None
    columns = {"question": question, "answer": answer}
    if "solution" in held and answer != "solution":
        columns["solution"] = "solution"
    texts = [str(value) for row in rows if (value := cell(row, held.named[answer])) is not None]
    marked = bool(texts) and all("####" in text for text in texts)
    options = {"answer_after": "####"} if marked else {}
    demonstrated = marked or "solution" in columns
    more = ("solution", "reward_model")
    return _layout("question and answer", "questions", held, columns, options, demonstrated, more)


def _texts(held: Held, rows: Sequence[Row]) -> Layout | None:
    return _layout("text", "texts", held, {"text": "text"}) if isinstance(held.get("text"), str) else None


def _prompts(held: Held, rows: Sequence[Row]) -> Layout | None:
    prompt = held.first(QUESTIONS[:4])
    if prompt is None or held.first(
        ("completions", "labels")
    ):  # stepwise supervision: nothing learns from it
        return None
    form = "turns" if is_turns(held[prompt]) else "text"
    return _layout(f"prompt only ({form})", "prompts", held, {"question": prompt, "answer": None})


FINDERS = (_pairs, _labelled, _conversations, _completions, _questions, _texts, _prompts)


def _layout(
    name: str,
    kind: Kind,
    held: Held,
    columns: Mapping[str, str | None] | None = None,
    options: Mapping[str, Any] | None = None,
    demonstrated: bool = False,
    more: Sequence[str] = (),
) -> Layout:
    """`columns`: those that the reader maps, as it calls them, by their usual spelling; `more`: others that
    it reads.
    """
    mapped = {key: column and held.named[column] for key, column in (columns or {}).items()}
    stated = {key: column for key, column in mapped.items() if column != key or key in UNREAD_UNLESS_NAMED}
    read = {*mapped.values(), *more, "tools"}
    ignored = {held.named[name]: value for name, value in held.items() if held.named[name] not in read}
    ignored.pop(NESTED, None)
    kept = tuple(column for column, value in ignored.items() if "." not in column and _is_plain(value))
    return Layout(name, kind, stated, options or {}, demonstrated, tuple(ignored), kept)


def _is_plain(value: Any) -> bool:
    """Returns whether a value can be kept for a reward function, which is given JSON."""
    try:
        plain({"value": value}, "value")
    except BadRow:
        return False
    return True


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
        f"\n{lines}\nUnderstood are these columns (JSON Lines, JSON, CSV, TSV or Parquet, plain or .gz):\n"
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
