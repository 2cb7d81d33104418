"""Preferences as the text that is stored: pairs, and the labelled answers of a safety set as examples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from pipelines.corpora.cleaning.split import hash_fraction
from pipelines.corpora.preferences.pair import Answer, Labelled, PairExample, Preference
from pipelines.corpora.preferences.pair_rows import PairItem
from pipelines.corpora.preferences.prompt_split import group_key
from pipelines.corpora.records.example import Example, lone_surrogate

ANSWERS: tuple[Answer, Answer] = ("chosen", "rejected")


def pair_example(preference: Preference, tokens: str | None) -> PairExample:
    """Returns the preference as text. `tokens`: the digest of the tokenizer and template of the model that
    wrote the answers, None where none did. Raises ValueError where a text holds a lone surrogate, which no
    file can.
    """
    if reason := lone_surrogate(preference.prompt, preference.chosen, preference.rejected):
        raise ValueError(reason)
    chosen, rejected = (list(ids) if ids and tokens else None for ids in preference.ids)
    turns = preference.conversation
    return PairExample(
        id=f"{preference.source}:{_digest(preference.prompt, preference.chosen, preference.rejected)}",
        prompt=preference.prompt,
        chosen=preference.chosen,
        rejected=preference.rejected,
        source=preference.source,
        group=group_key(preference.prompt),
        chosen_safe=preference.chosen_safe,
        rejected_safe=preference.rejected_safe,
        helpful=preference.helpful,
        safer=preference.safer,
        meta=preference.meta,
        conversation=None if turns is None else turns.as_json(),
        chosen_ids=chosen,
        rejected_ids=rejected,
        tokens=tokens if chosen or rejected else None,
        unfinished=[name for name, ended in zip(ANSWERS, preference.finished, strict=True) if not ended],
    )


def safety_examples(items: Iterable[PairItem]) -> list[Example]:
    """Returns every answer with a safety flag once, as a demonstration. Left out are answers with both flags,
    and those that their model did not end.
    """
    flags: dict[tuple[str, str], set[bool]] = {}
    first_answers: dict[tuple[str, str], tuple[PairItem, str, bool]] = {}
    for item in sorted(items, key=lambda item: repr(item)):
        for text, finished, safe in _answers(item):
            key = group_key(item.prompt), text
            flags.setdefault(key, set()).add(safe)
            first_answers.setdefault(key, (item, text, finished))
    examples = []
    for key in sorted(first_answers, key=lambda key: (hash_fraction("order:" + key[0]), key)):
        item, text, finished = first_answers[key]
        if len(flags[key]) == 1 and finished and text.strip() and not lone_surrogate(item.prompt, text):
            examples.append(_response(item, text, next(iter(flags[key]))))
    return examples


def _response(item: PairItem, text: str, safe: bool) -> Example:
    label, turns = "safe" if safe else "unsafe", item.conversation
    return Example(
        id=f"{item.source}:{_digest(item.prompt, text)}",
        prompt=item.prompt,
        response=text,
        answer=label,
        subject=label,
        level=None,
        source=item.source,
        conversation=None if turns is None else turns.answer(text).as_json(),
    )


def _answers(item: PairItem) -> list[tuple[str, bool, bool]]:
    """Returns the answers of an item that have a flag: (text, whether it is finished, flag)."""
    if isinstance(item, Labelled):
        return [] if item.safe is None else [(item.answer, True, item.safe)]
    answers = (
        (item.chosen, item.finished[0], item.chosen_safe),
        (item.rejected, item.finished[1], item.rejected_safe),
    )
    return [(text, finished, safe) for text, finished, safe in answers if safe is not None]


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
