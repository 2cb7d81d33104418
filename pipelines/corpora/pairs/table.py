"""Any table of pairs, by a mapping of columns; prompt and answers are text or lists of chat turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.pairs.options import TableParams
from pipelines.corpora.pairs.trl import split_key, two_answers
from pipelines.corpora.preferences.pair import Preference
from pipelines.corpora.preferences.pair_rows import PairItem, PairReading, Removed, items
from pipelines.corpora.raw.columns import BadRow, flag, text


def read(source: TableParams, reading: PairReading) -> Iterator[PairItem]:
    """Yields preferences of the rows of every split. Removed: tie."""
    return items(source, reading, lambda row, side: _preference(row, side, source, reading.name))


def _preference(row: Mapping[str, Any], side: Side, source: TableParams, name: str) -> Preference:
    columns = source.columns
    prompt, chosen, rejected, turns = two_answers(row, columns.prompt, columns.chosen, columns.rejected)
    prefers_chosen = True if columns.label is None else _label(row, columns.label, source)
    flags = [
        None if column is None else flag(row, column)
        for column in (columns.chosen_safe, columns.rejected_safe)
    ]
    safer = None if columns.safer is None else _label(row, columns.safer, source)
    if safer is None and None not in flags and flags[0] != flags[1]:
        safer = flags[0]  # of a safe and an unsafe answer the safe one is the safer one
    preference = Preference(
        prompt,
        chosen,
        rejected,
        name,
        side,
        chosen_safe=flags[0],
        rejected_safe=flags[1],
        helpful=None if None in flags else prefers_chosen,
        safer=safer,
        key=text(row, columns.key) if columns.key is not None else split_key(turns),
        conversation=turns,
    )
    return preference if prefers_chosen else preference.swapped()


def _label(row: Mapping[str, Any], column: str, source: TableParams) -> bool:
    """Returns whether the label column prefers the answer under `chosen`. Raises BadRow, or Removed for a
    tie.
    """
    value, labels = text(row, column).strip(), source.labels
    if value in labels.tie:
        raise Removed("tie")
    if value not in (*labels.chosen, *labels.rejected):
        known = (*labels.chosen, *labels.rejected, *labels.tie)
        raise BadRow(f"{column} is {value[:40]!r}, not one of {', '.join(known)}")
    return value in labels.chosen
