"""What supervised fine-tuning learns from a set of preferences: the answers that are labelled safe
(dpo_vs_ppo.md 2), or the chosen ones where nothing is labelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipelines.corpora.pair import Pair
from pipelines.corpora.record import Record


def demonstrations(pairs: Sequence[Pair], responses: Sequence[Record] = ()) -> list[Record]:
    """The safe answers among labelled `responses`, or else of labelled pairs; without labels the chosen
    answer of every pair. Each prompt and answer once, in order.
    """
    if responses:
        return [record for record in responses if record.answer == "safe"]
    labelled = [pair for pair in pairs if pair.chosen_safe is not None or pair.rejected_safe is not None]
    if labelled:
        return _safe(labelled)[0]
    records, seen = [], set()
    for pair in pairs:
        key = (tuple(pair.prompt_ids), tuple(pair.chosen_ids))
        if pair.chosen and key not in seen:
            seen.add(key)
            records.append(_record(pair, "chosen", pair.chosen, pair.chosen_ids, "chosen"))
    return records


def prepare_safe(pairs: Sequence[Pair]) -> tuple[list[Record], Counter[str]]:
    """Every prompt with every answer to it that is labelled safe, both of a dual-safe pair included, exact
    duplicates removed, in order.

    What `pipelines.training.supervised.Demonstrations` takes; `answer` holds the answer itself, there is no
    shorter one. The counter says `safe`, `unsafe`, `duplicate`, `unlabelled` and `blank` (no text) answers.
    ValueError where no answer is left.
    """
    records, counts = _safe(pairs)
    if not records:
        raise ValueError(
            f"no answer of {len(pairs)} pairs is labelled safe ({dict(counts)}); SFT(Safe) needs a set with "
            f"safety flags"
        )
    return records, counts


def _safe(pairs: Sequence[Pair]) -> tuple[list[Record], Counter[str]]:
    records: list[Record] = []
    counts: Counter[str] = Counter()
    seen: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
    for pair in pairs:
        answers = (
            (pair.chosen, pair.chosen_ids, pair.chosen_safe),
            (pair.rejected, pair.rejected_ids, pair.rejected_safe),
        )
        for which, (text, ids, safe) in zip(("chosen", "rejected"), answers, strict=True):
            key = (tuple(pair.prompt_ids), tuple(ids))
            reason = "unlabelled" if safe is None else "unsafe" if not safe else "blank" if not text else ""
            if not reason and key in seen:
                reason = "duplicate"
            counts[reason or "safe"] += 1
            if not reason:
                seen.add(key)
                records.append(_record(pair, which, text, ids, "safe"))
    return records, counts


def _record(pair: Pair, which: str, text: str, ids: list[int], subject: str) -> Record:
    return Record(
        f"{pair.id}/{which}", pair.prompt, text, text, subject, None, pair.source, pair.prompt_ids, ids
    )
