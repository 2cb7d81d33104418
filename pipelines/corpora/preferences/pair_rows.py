"""What the readers of preference data share: a loop over the rows of every side, which counts those that give
nothing.

A reader is a module in pipelines/corpora/pairs with `read(source, reading) -> Iterator[PairItem]`. A
malformed row is recorded in the ledger; a good row that gives no preference (a tie, for example) is removed
and counted by its reason. Empty answers are removed by the set, not by its reader.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.preferences.pair import Labelled, Preference
from pipelines.corpora.preferences.pair_sources_params import PairSource
from pipelines.corpora.raw.columns import BadRow
from pipelines.corpora.raw.problem import Reading
from pipelines.corpora.raw.tables import table_rows

PairItem = Preference | Labelled


class Removed(ValueError):
    """A good row that gives no pair. Its text is the reason by which it is counted."""


@dataclass(frozen=True)
class PairReading(Reading):
    """As for a corpus; `removed`: rows removed, by reason; `pairing`: counts where rows hold
    several samples.
    """

    removed: Counter[str] = field(default_factory=Counter)
    pairing: Counter[str] = field(default_factory=Counter)


def items(
    source: PairSource, reading: PairReading, convert: Callable[[Mapping[str, Any], Side], PairItem]
) -> Iterator[PairItem]:
    """Yields the items of all sides. `convert` makes an item of a row, or raises BadRow or Removed. Raises
    ValueError when the number of rows of a side is not the expected one.
    """
    ledger = reading.ledger
    for side, splits in source.splits.items():
        rows_before = ledger.good + ledger.bad
        for split in (splits,) if isinstance(splits, str) else splits:
            for where, row in table_rows(source, reading, split):
                try:
                    item = convert(row, side)
                except BadRow as fault:
                    ledger.reject(where, str(fault))
                except Removed as reason:
                    ledger.accept()
                    reading.removed[str(reason)] += 1
                else:
                    ledger.accept()
                    yield replace(item, where=where)
        _count(source, reading, side, ledger.good + ledger.bad - rows_before)


def _count(source: PairSource, reading: PairReading, side: Side, read: int) -> None:
    expected = source.expected.get(side)
    if expected is not None and read != expected:
        raise ValueError(
            f"source {reading.name}: {side} ({source.splits[side]}) has {read} rows, expected.{side} says "
            f"{expected}: "
            "this is another release or a file cut short; fetch it again, or correct `expected`"
        )
