"""HH-RLHF (Bai et al. 2022): two whole dialogues that differ in the last answer (dpo_vs_ppo.md 1.2).

The prompt is what both have in common up to the last `\\n\\nAssistant:`. A split goes by the first turn of
the human, since one conversation comes at several lengths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.pairs.options import HhParams
from pipelines.corpora.preferences.pair import Preference
from pipelines.corpora.preferences.pair_rows import Item, PairReading, Removed, items
from pipelines.corpora.raw.columns import text
from pipelines.corpora.raw.dialogue import (
    as_text,
    conversation,
    first_user_turn,
    split_last,
    turns_of,
    without_first_blank,
)


def read(source: HhParams, reading: PairReading) -> Iterator[Item]:
    """Rows `{chosen, rejected}`; removed: prefixes_differ."""
    return items(source, reading, lambda row, side: preference(row, side, reading.name))


def preference(row: Mapping[str, Any], side: Side, source: str) -> Preference:
    """BadRow when a dialogue has no answer's turn; Removed when the two are not answers to one prompt."""
    before, chosen = split_last(text(row, "chosen"), "chosen")
    other, rejected = split_last(text(row, "rejected"), "rejected")
    if before != other:
        raise Removed("prefixes_differ")
    turns = turns_of(before)
    return Preference(
        as_text(turns),
        without_first_blank(chosen),
        without_first_blank(rejected),
        source,
        side,
        key=first_user_turn(turns),
        meta={"turns": len(turns)},
        conversation=conversation(turns, "the prompt"),
    )
