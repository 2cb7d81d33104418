"""Answers that were labelled alone, brought together: of two answers to one prompt the one with the higher
grade is preferred.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from random import Random

from pipelines.corpora.cleaning.canonical import canonical_form
from pipelines.corpora.preferences.pair import Labelled, Preference


def pair_labelled(
    answers: Iterable[Labelled], limit: int | None, seed: int
) -> tuple[list[Preference], Counter[str]]:
    """Every pair of different grades, or `limit` of them per prompt, drawn uniformly. All answers to a prompt
    on one side of the raw data are looked at together.

    An empty answer is left out. Two safe answers differ in helpfulness, others in safety: that label gets the
    grade's verdict, the other one stays None. Counted by answer: answers (all of them), empty_answer,
    duplicate, contradiction (one answer with two grades: left out), no_contrast (its prompt has no answer of
    another grade); and by pair: pairs, not_drawn.
    """
    prompts: dict[tuple[str, str], dict[str, list[Labelled]]] = {}
    counts = Counter[str]()
    for one in answers:
        counts["answers"] += 1
        if not one.answer.strip():
            counts["empty_answer"] += 1
            continue
        prompts.setdefault((one.side, canonical_form(one.prompt)), {}).setdefault(one.answer, []).append(one)
    found = []
    for place, by_text in sorted(prompts.items()):
        clear = []
        for _, same in sorted(by_text.items()):
            if len({(one.grade, one.safe) for one in same}) > 1:
                counts["contradiction"] += len(same)
            else:
                counts["duplicate"] += len(same) - 1
                clear.append(same[0])
        pairs = [(high, low) for high in clear for low in clear if high.grade > low.grade]
        if not pairs:
            counts["no_contrast"] += len(clear)
        if limit is not None and len(pairs) > limit:
            counts["not_drawn"] += len(pairs) - limit
            pairs = Random(f"labelled:{seed}:{place}").sample(pairs, limit)
        found += [_preference(high, low) for high, low in pairs]
    counts["pairs"] = len(found)
    return found, +counts


def _preference(high: Labelled, low: Labelled) -> Preference:
    helpful = safer = None
    if high.safe is not None and low.safe is not None:
        helpful, safer = (True, None) if high.safe and low.safe else (None, True)
    return Preference(
        high.prompt,
        high.answer,
        low.answer,
        high.source,
        high.side,
        chosen_safe=high.safe,
        rejected_safe=low.safe,
        helpful=helpful,
        safer=safer,
        key=high.key,
        where=f"{high.where}, {low.where}",
        meta={"chosen": dict(high.meta), "rejected": dict(low.meta)},
        conversation=high.conversation,
    )
