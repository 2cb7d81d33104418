"""PandaLM's test set: an instruction, two responses, and which one three people found better (0: neither)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.pairs.options import PandalmParams
from pipelines.corpora.preferences.pair import Preference
from pipelines.corpora.preferences.pair_rows import PairItem, PairReading, Removed, items
from pipelines.corpora.raw.columns import one_of, text

ANNOTATORS = ("annotator1", "annotator2", "annotator3")


def read(source: PandalmParams, reading: PairReading) -> Iterator[PairItem]:
    """Yields preferences of rows `{instruction, input, response1, response2, annotator1..3}`. Removed: tie,
    no_agreement.
    """

    def convert(row: Mapping[str, Any], side: Side) -> Preference:
        labels = [one_of(row, column, (0, 1, 2)) for column in ANNOTATORS]
        instruction, responses = (
            text(row, "instruction"),
            (text(row, "response1", True), text(row, "response2", True)),
        )
        extra_input = row.get("input")
        prompt = (
            f"{instruction}\n\n{extra_input}"
            if isinstance(extra_input, str) and extra_input.strip()
            else instruction
        )
        label, votes = Counter(labels).most_common(1)[0]
        if votes < source.agreement:
            raise Removed("no_agreement")
        if label == 0:
            raise Removed("tie")
        meta = {"models": row.get("cmp_key"), "votes": votes}
        return Preference(prompt, responses[label - 1], responses[2 - label], reading.name, side, meta=meta)

    return items(source, reading, convert)
