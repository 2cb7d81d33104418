"""Any table of pairs, by a mapping of columns; prompt and answers are text or lists of chat turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.columns import BadRow, flag, text
from pipelines.corpora.dialogue import Turn, answered, as_text, chat_turns, opening
from pipelines.corpora.pair import Preference
from pipelines.corpora.pair_rows import Item, PairReading, Removed, items
from pipelines.corpora.pairs.table_params import TableParams
from pipelines.corpora.split import Side


def read(source: TableParams, reading: PairReading) -> Iterator[Item]:
    """Removed: tie, prefixes_differ (where the prompt is the common beginning of two dialogues)."""
    return items(source, reading, lambda row, side: _preference(row, side, source, reading.name))


def _preference(row: Mapping[str, Any], side: Side, source: TableParams, name: str) -> Preference:
    columns = source.columns
    before, chosen = _answer(row, columns.chosen)
    other, rejected = _answer(row, columns.rejected)
    if columns.prompt is None:
        if before != other:
            raise Removed("prefixes_differ")
        turns = before
    else:
        found = _cell(row, columns.prompt)
        turns = [Turn("user", text(row, columns.prompt))] if not isinstance(found, list) else chat_turns(found, columns.prompt)
    prefers_chosen = True if columns.label is None else _label(row, columns.label, source)
    flags = [None if column is None else flag(row, column) for column in (columns.chosen_safe, columns.rejected_safe)]
    safer = None if columns.safer is None else _label(row, columns.safer, source)
    if safer is None and None not in flags and flags[0] != flags[1]:
        safer = flags[0]  # of a safe and an unsafe answer the safe one is the safer one
    preference = Preference(
        as_text(turns),
        chosen,
        rejected,
        name,
        side,
        chosen_safe=flags[0],
        rejected_safe=flags[1],
        helpful=None if None in flags else prefers_chosen,
        safer=safer,
        key=text(row, columns.key) if columns.key is not None else opening(turns) if len(turns) > 1 else "",
    )
    return preference if prefers_chosen else preference.swapped()


def _answer(row: Mapping[str, Any], column: str) -> tuple[list[Turn], str]:
    found = _cell(row, column)
    if isinstance(found, list):
        before, answer = answered(chat_turns(found, column), column)
        return before, answer
    return [], text(row, column, True)


def _label(row: Mapping[str, Any], column: str, source: TableParams) -> bool:
    found, labels = text(row, column).strip(), source.labels
    if found in labels.tie:
        raise Removed("tie")
    if found not in (*labels.chosen, *labels.rejected):
        known = (*labels.chosen, *labels.rejected, *labels.tie)
        raise BadRow(f"{column} is {found[:40]!r}, not one of {', '.join(known)}")
    return found in labels.chosen


def _cell(row: Mapping[str, Any], column: str) -> Any:
    value: Any = row
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
