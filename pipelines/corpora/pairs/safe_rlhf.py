"""PKU-SafeRLHF: two responses with a helpfulness label l_h, a safety label l_s and a flag each (dpo_vs_ppo.md
1.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.pairs.options import SafeRlhfParams
from pipelines.corpora.preferences.pair import Preference
from pipelines.corpora.preferences.pair_rows import PairItem, PairReading, items
from pipelines.corpora.raw.columns import flag, one_of, text


def read(source: SafeRlhfParams, reading: PairReading) -> Iterator[PairItem]:
    """Yields preferences of rows `{prompt, response_0, response_1, better_response_id, safer_response_id,
    is_response_0_safe, is_response_1_safe}`; the ids are 0 or 1.

    The preferred answer is that of l_h; the merge rule, which uses all labels, is applied to the complete
    set.
    """

    def convert(row: Mapping[str, Any], side: Side) -> Preference:
        responses = (text(row, "response_0", True), text(row, "response_1", True))
        safe = (flag(row, "is_response_0_safe"), flag(row, "is_response_1_safe"))
        better, safer = one_of(row, "better_response_id", (0, 1)), one_of(row, "safer_response_id", (0, 1))
        return Preference(
            text(row, "prompt"),
            responses[better],
            responses[1 - better],
            reading.name,
            side,
            chosen_safe=safe[better],
            rejected_safe=safe[1 - better],
            helpful=True,
            safer=safer == better,
        )

    return items(source, reading, convert)
