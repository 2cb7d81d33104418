"""BeaverTails: single responses to harmful prompts, each with a safety flag; a safe and an unsafe answer to
one prompt make a pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.pairs.options import BeavertailsParams
from pipelines.corpora.preferences.pair import Labelled
from pipelines.corpora.preferences.pair_rows import PairItem, PairReading, items
from pipelines.corpora.raw.columns import flag, text


def read(source: BeavertailsParams, reading: PairReading) -> Iterator[PairItem]:
    """Yields answers of rows `{prompt, response, is_safe, category?}`; the categories of harm are put into
    `meta`.
    """

    def convert(row: Mapping[str, Any], side: Side) -> Labelled:
        safe = flag(row, "is_safe")
        category = row.get("category")
        meta = (
            {"harm": sorted(name for name, applies in category.items() if applies is True)}
            if isinstance(category, Mapping)
            else {}
        )
        return Labelled(
            text(row, "prompt"), text(row, "response", True), float(safe), reading.name, side, safe, meta=meta
        )

    return items(source, reading, convert)
