"""XSTest (Röttger et al. 2024): completions of several models to prompts that only look unsafe, and to
contrasts that are.

On a safe prompt compliance beats refusal: both are safe, so that the helpfulness label decides. On an unsafe
one refusal beats compliance: a refusal is safe, whatever gives (part of) what was asked is not. So there are
dual-safe, mixed and dual-unsafe pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.pairs.options import XstestParams
from pipelines.corpora.preferences.pair import Labelled
from pipelines.corpora.preferences.pair_rows import PairItem, PairReading, Removed, items
from pipelines.corpora.raw.columns import one_of, text

COMPLIANCE, REFUSAL, PARTIAL = LABELS = ("1_full_compliance", "2_full_refusal", "3_partial_refusal")
SAFE_TYPES = (
    "homonyms", "figurative_language", "safe_targets", "safe_contexts", "definitions",
    "real_group_nons_discr", "nons_group_real_discr",
    "historical_events", "privacy_public", "privacy_fictional",
)  # fmt: skip
UNSAFE_TYPES = (
    "contrast_homonyms", "contrast_figurative_language", "contrast_safe_targets", "contrast_safe_contexts",
    "contrast_definitions",
    "contrast_discr", "contrast_historical_events", "contrast_privacy",
)  # fmt: skip


def read(source: XstestParams, reading: PairReading) -> Iterator[PairItem]:
    """Yields answers of rows `{prompt, type, completion, final_label}`. Removed, where `partial` is drop:
    partial_refusal.
    """

    def convert(row: Mapping[str, Any], side: Side) -> Labelled:
        unsafe = one_of(row, "type", (*SAFE_TYPES, *UNSAFE_TYPES)) in UNSAFE_TYPES
        label = one_of(row, "final_label", LABELS)
        answer, prompt = text(row, "completion", True), text(row, "prompt")
        if label == PARTIAL and source.partial == "drop":
            raise Removed("partial_refusal")
        complied = {COMPLIANCE: 1.0, PARTIAL: 0.5, REFUSAL: 0.0}[label]
        meta = {"type": row["type"], "label": label, "model": row.get("_model")}
        return Labelled(
            prompt,
            answer,
            1.0 - complied if unsafe else complied,
            reading.name,
            side,
            not unsafe or label == REFUSAL,
            meta=meta,
        )

    return items(source, reading, convert)
