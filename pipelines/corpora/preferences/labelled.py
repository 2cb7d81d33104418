"""Pairs of answers that were labelled separately: of two answers to one prompt the one with the higher grade
is preferred.
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
    """Returns every pair of different grades, or `limit` of them per prompt, drawn uniformly. All answers to
    a prompt on one side of the raw data are compared.

    An empty answer is left out. Two safe answers differ in helpfulness, others in safety: that label gets the
    grade's verdict, the other one stays None. Counts of answers: answers (all of them), empty_answer,
    duplicate, contradiction (one answer with two grades: left out), no_contrast (its prompt has no answer of
    another grade); of pairs: pairs, not_drawn.
    """
    prompts: dict[tuple[str, str], dict[str, list[Labelled]]] = {}
    counts = Counter[str]()
    for answer in answers:
        counts["answers"] += 1
        if not answer.answer.strip():
            counts["empty_answer"] += 1
            continue
        prompts.setdefault((answer.side, canonical_form(answer.prompt)), {}).setdefault(
            answer.answer, []
        ).append(answer)
    preferences = []
    for prompt_key, by_text in sorted(prompts.items()):
        distinct_answers = []
        for _, equal_answers in sorted(by_text.items()):
            if len({(answer.grade, answer.safe) for answer in equal_answers}) > 1:
                counts["contradiction"] += len(equal_answers)
            else:
                counts["duplicate"] += len(equal_answers) - 1
                distinct_answers.append(equal_answers[0])
        pairs = [
            (high, low) for high in distinct_answers for low in distinct_answers if high.grade > low.grade
        ]
        if not pairs:
            counts["no_contrast"] += len(distinct_answers)
        if limit is not None and len(pairs) > limit:
            counts["not_drawn"] += len(pairs) - limit
            pairs = Random(f"labelled:{seed}:{prompt_key}").sample(pairs, limit)
        preferences += [_preference(high, low) for high, low in pairs]
    counts["pairs"] = len(preferences)
    return preferences, +counts


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
