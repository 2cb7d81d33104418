"""Demonstrations for supervised fine-tuning from a set of preferences: the answers that are labelled safe
(dpo_vs_ppo.md 2), or the chosen ones where nothing is labelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipelines.corpora.preferences.pair import PairExample
from pipelines.corpora.records.example import Example
from pipelines.models.conversation import Conversation


def demonstrations(pairs: Sequence[PairExample], responses: Sequence[Example] = ()) -> list[Example]:
    """Returns the safe answers among labelled `responses`, or else of labelled pairs; without labels the
    chosen answer of every pair. Each prompt and answer once, in order.
    """
    if responses:
        return [example for example in responses if example.answer == "safe"]
    labelled = [pair for pair in pairs if pair.chosen_safe is not None or pair.rejected_safe is not None]
    if labelled:
        return _safe(labelled)[0]
    examples, seen = [], set()
    for pair in pairs:
        key = (pair.prompt, pair.chosen)
        if pair.chosen and key not in seen and "chosen" not in pair.unfinished:
            seen.add(key)
            examples.append(_example(pair, "chosen", pair.chosen, "chosen"))
    return examples


def prepare_safe(pairs: Sequence[PairExample]) -> tuple[list[Example], Counter[str]]:
    """Returns every prompt with every answer to it that is labelled safe, both of a dual-safe pair included,
    exact duplicates removed, in order.

    `answer` holds the answer itself. Counts: safe, unsafe, duplicate, unlabelled, blank (no text) and
    unfinished answers. Raises ValueError where no answer is left.
    """
    examples, counts = _safe(pairs)
    if not examples:
        raise ValueError(
            f"no answer of {len(pairs)} pairs is labelled safe ({dict(counts)}); SFT(Safe) needs a set with "
            f"safety flags"
        )
    return examples, counts


def _safe(pairs: Sequence[PairExample]) -> tuple[list[Example], Counter[str]]:
    examples: list[Example] = []
    counts: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    for pair in pairs:
        answers = (("chosen", pair.chosen, pair.chosen_safe), ("rejected", pair.rejected, pair.rejected_safe))
        for which, text, safe in answers:
            key = (pair.prompt, text)
            reason = "unlabelled" if safe is None else "unsafe" if not safe else "blank" if not text else ""
            if not reason and which in pair.unfinished:
                reason = "unfinished"
            if not reason and key in seen:
                reason = "duplicate"
            counts[reason or "safe"] += 1
            if not reason:
                seen.add(key)
                examples.append(_example(pair, which, text, "safe"))
    return examples, counts


def _example(pair: PairExample, which: str, text: str, subject: str) -> Example:
    turns = None if pair.conversation is None else Conversation.from_json(pair.conversation).answer(text)
    return Example(
        id=f"{pair.id}/{which}",
        prompt=pair.prompt,
        response=text,
        answer=text,
        subject=subject,
        level=None,
        source=pair.source,
        conversation=None if turns is None else turns.as_json(),
    )
