"""HH-RLHF (Bai et al. 2022): two complete dialogues that differ in the last answer (dpo_vs_ppo.md 1.2).

The prompt is their common beginning up to the last `\\n\\nAssistant:`. The split is by the first turn of the
human, since one conversation occurs at several lengths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.pairs.options import HhParams
from pipelines.corpora.preferences.pair import Preference
from pipelines.corpora.preferences.pair_rows import PairItem, PairReading, Removed, items
from pipelines.corpora.raw.columns import text
from pipelines.corpora.raw.dialogue import (
    as_text,
    conversation,
    first_user_turn,
    split_last,
    turns_of,
    without_first_blank,
)


def read(source: HhParams, reading: PairReading) -> Iterator[PairItem]:
    """Yields preferences of rows `{chosen, rejected}`. Removed: prefixes_differ."""
    return items(source, reading, lambda row, side: preference(row, side, reading.name))


def preference(row: Mapping[str, Any], side: Side, source: str) -> Preference:
    """Converts a row. Raises BadRow when a dialogue has no turn of the assistant, Removed when the two answer
    different prompts.
    """
    prompt, chosen = split_last(text(row, "chosen"), "chosen")
    other_prompt, rejected = split_last(text(row, "rejected"), "rejected")
    if prompt != other_prompt:
        raise Removed("prefixes_differ")
    turns = turns_of(prompt)
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
