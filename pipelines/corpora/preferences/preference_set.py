"""A set of preferences: reads the raw rows, applies the merge rule and the filters, splits by prompt. Every
loss is counted.

From rows to sets it is one pure function, `build_preferences`; the stage `preferences@NAME` reads and writes
around it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from pipelines.corpora.cleaning.split import Shares, Side, hash_fraction
from pipelines.corpora.cleaning.text import visible_form
from pipelines.corpora.preferences.labelled import pair_labelled
from pipelines.corpora.preferences.pair import Labelled, PairExample, Preference
from pipelines.corpora.preferences.pair_rows import PairItem, PairReading
from pipelines.corpora.preferences.pair_texts import pair_example, safety_examples
from pipelines.corpora.preferences.preference_set_params import PreferencesParams
from pipelines.corpora.preferences.prompt_split import SIDES, group_key, order_key, split_prompts
from pipelines.corpora.preferences.safety import apply_filters, count_classes, merge_labels
from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.records.example import Example
from pipelines.corpora.records.lengths import length_statistics
from pipelines.corpora.records.rows_kept import rows_kept
from pipelines.seams import load
from pipelines.sources.opening import Opener, unrecorded


@dataclass(frozen=True)
class PreferenceSets:
    """Pairs by side, and all counts for the metrics. `responses`: of a set with safety flags all answers to
    the prompts of the training side, before the filters, as demonstrations whose `answer` is safe or unsafe;
    otherwise empty.
    """

    pairs: Mapping[Side, Sequence[PairExample]]
    responses: Sequence[Example]
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class SourceItems:
    """What was read, before anything is removed. `ledger`: the summary of bad rows; `removed`: counts of rows
    that gave nothing, by reason; `pairing`: counts of the samples. `tokens`: the digest of the tokenizer and
    template of the model that was sampled, None where none was.
    """

    items: Sequence[PairItem]
    ledger: Mapping[str, Any] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    pairing: Mapping[str, int] = field(default_factory=dict)
    tokens: str | None = None


def read_source(
    name: str,
    params: PreferencesParams,
    origin: Path,
    seed: int,
    open_source: Opener = unrecorded,
    most: int | None = None,
) -> SourceItems:
    """Reads the rows of a set whose raw data is at `origin`; `most` as in `Reading`. Raises
    TooManyBadRows, ValueError or OSError; each names the file and the way out.
    """
    ledger = Ledger(name)
    shares = Shares(params.validation_share, params.heldout_share)
    setting = "preferences.<name>.origin"
    reading = PairReading(origin, name, seed, shares, ledger, setting, open_source, most)
    items = list(load("pipelines.corpora.pairs", params.source.kind).read(params.source, reading))
    ledger.check(params.max_bad_rows)
    return SourceItems(items, ledger.summary(), reading.removed, reading.pairing)


def build_preferences(
    name: str,
    params: PreferencesParams,
    source_items: SourceItems,
    corpus: Mapping[str, Sequence[str]],
    seed: int,
) -> PreferenceSets:
    """Builds the sets. `corpus`: the prompts of the corpus by file (sft, rl, validation, heldout). Raises
    ValueError when no training pair is left.

    metrics["removed"] counts by reason, in the order of the steps: good rows = removed + pairs, where every
    row is a pair; where rows are samples or single answers, metrics["pairing"] counts them, and its pairs =
    removed + pairs.
    """
    items = source_items.items
    removed: dict[str, int] = dict(sorted(source_items.removed.items()))

    def step(result: tuple[list[Preference], Counter[str]]) -> list[Preference]:
        remaining, lost = result
        for reason, number in sorted(lost.items()):
            removed[reason] = removed.get(reason, 0) + number
        return remaining

    paired_answers, labelled_counts = pair_labelled(
        (item for item in items if isinstance(item, Labelled)), params.max_pairs_per_prompt, seed
    )
    rows = step(_distinct([*(item for item in items if isinstance(item, Preference)), *paired_answers]))
    drawn = step(
        _draw(
            step(apply_filters(step(merge_labels(rows)), params.filters)), params.max_pairs_per_prompt, seed
        )
    )
    prompt_sides = split_prompts(items, params, corpus)
    split: dict[Side, list[Preference]] = {side: [] for side in SIDES}
    for preference in drawn:
        side, reason = prompt_sides.of(preference)
        if side is None:
            removed[reason] = removed.get(reason, 0) + 1
        else:
            split[side].append(preference)
    texts = Ledger(f"{name} (texts)")
    pairs = {side: _written(split[side], source_items.tokens, texts) for side in SIDES}
    labelled_answers = safety_examples([item for item in items if prompt_sides.of(item)[0] == "train"])
    if texts.bad:
        texts.check(params.max_bad_rows)
        removed["not_encodable"] = texts.bad
    if not pairs["train"]:
        reasons = {**source_items.pairing, **removed}
        losses = ", ".join(f"{reason} {number}" for reason, number in reasons.items() if number)
        raise ValueError(
            f"preferences {name}: no training pair is left of {len(items)} rows "
            f"({losses or 'nothing removed'}); loosen what took most"
        )
    bad = int(source_items.ledger.get("bad", 0))
    good = sum(map(len, pairs.values())) + sum(removed.values())
    metrics = {
        "preferences": name,
        "rows": rows_kept(good + bad, {**removed, "bad rows": bad}, "pairs"),
        "kind": params.source.kind,
        "source": source_items.ledger,
        "pairing": dict(sorted((Counter(source_items.pairing) + labelled_counts).items())),
        "not_encodable": texts.summary(),
        "removed": {reason: number for reason, number in removed.items() if number},
        "classes": {"read": count_classes(rows), "train": count_classes(split["train"])},
        "pairs": {side: len(pairs[side]) for side in SIDES},
        "prompts": {side: len({pair.group for pair in pairs[side]}) for side in SIDES},
        "responses": dict(sorted(Counter(record.answer for record in labelled_answers).items())),
        "leakage": prompt_sides.leakage,
        "prompt_characters": {
            side: length_statistics([len(pair.prompt) for pair in pairs[side]]) for side in SIDES
        },
        "chosen_characters": length_statistics([len(pair.chosen) for pair in pairs["train"]]),
        "rejected_characters": length_statistics([len(pair.rejected) for pair in pairs["train"]]),
    }
    return PreferenceSets(pairs, labelled_answers, metrics)


def _written(preferences: Iterable[Preference], tokens: str | None, ledger: Ledger) -> list[PairExample]:
    """Returns the pairs as text, in the order given, without those whose texts no file can hold."""
    pairs = []
    for preference in preferences:
        try:
            pairs.append(pair_example(preference, tokens))
        except ValueError as fault:
            ledger.reject(preference.where or repr(preference.prompt[:40]), str(fault))
        else:
            ledger.accept()
    return pairs


def _distinct(preferences: Iterable[Preference]) -> tuple[list[Preference], Counter[str]]:
    """Returns the preferences sorted by content, so that the order of the rows has no effect, without those
    that express none or repeat one. Removed: empty_prompt, empty_answer, equal_answers, duplicate,
    contradiction (the same two answers, each preferred once on one side of the raw data: both are removed).
    Of equal rows the one on the side that is furthest from training stays.
    """
    removed, by_content = Counter[str](), dict[tuple[str, str, str], Preference]()
    for preference in sorted(
        preferences,
        key=lambda preference: (
            -SIDES.index(preference.side),
            preference.prompt,
            preference.chosen,
            preference.rejected,
            repr(replace(preference, where="")),
        ),
    ):
        if not preference.prompt.strip():
            removed["empty_prompt"] += 1
        elif any(
            not text.strip() and not ids
            for text, ids in zip((preference.chosen, preference.rejected), preference.ids, strict=True)
        ):
            removed["empty_answer"] += 1
        elif (chosen := visible_form(preference.chosen)) == (rejected := visible_form(preference.rejected)):
            removed["equal_answers"] += 1
        elif (content := (group_key(preference.prompt), chosen, rejected)) in by_content:
            removed["duplicate"] += 1
        else:
            by_content[content] = preference
    reversed_ = (
        (preference, by_content.get((group, rejected, chosen)))
        for (group, chosen, rejected), preference in by_content.items()
    )
    consistent = [
        preference
        for preference, opposite in reversed_
        if opposite is None or opposite.side != preference.side
    ]
    removed["contradiction"] = len(by_content) - len(consistent)
    return consistent, removed


def _draw(
    preferences: Sequence[Preference], limit: int | None, seed: int
) -> tuple[list[Preference], Counter[str]]:
    """Returns the preferences in the order of the sets: by hash of the prompt. Of a prompt with more than
    `limit` pairs `limit` are drawn, uniformly.
    """
    groups: dict[str, list[Preference]] = {}
    for preference in preferences:
        groups.setdefault(group_key(preference.prompt), []).append(preference)
    drawn, removed = [], Counter[str]()
    orders = {group: order_key(pairs[0].prompt) for group, pairs in groups.items()}
    for group in sorted(groups, key=lambda group: (hash_fraction("order:" + orders[group]), group)):
        pairs = groups[group]
        if limit is not None and len(pairs) > limit:
            removed["over_max_pairs_per_prompt"] += len(pairs) - limit
            pairs = [
                pairs[index]
                for index in sorted(Random(f"draw:{seed}:{orders[group]}").sample(range(len(pairs)), limit))
            ]
        drawn += pairs
    return drawn, removed
