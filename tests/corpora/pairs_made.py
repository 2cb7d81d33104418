"""Small preference sets for the tests: sources written to a folder, built with a byte-level character
tokenizer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.preferences.pair import Pair, Preference
from pipelines.corpora.preferences.preference_set import (
    PreferenceSets,
    SourceItems,
    build_preferences,
    read_source,
)
from pipelines.corpora.preferences.preference_set_params import PreferencesParams
from pipelines.corpora.records.pair_tokens import tokenise_pairs
from pipelines.corpora.records.record import Record
from pipelines.corpora.records.tokenised import tokenise
from pipelines.models.tokenizer import Tokens
from pipelines.models.tokenizer_params import CharTokenizer, TemplateParams
from pipelines.models.tokenizer_training import make_tokens
from tests.corpora.made import write_lines

OPEN = {
    "near": None,
    "decontaminate": {"ngram": None, "near": False},
    "validation_share": 0.0,
    "max_bad_rows": 0.9,
}


def byte_tokens(folder: Path, prompt: str = "<|user|>{query}<|assistant|>") -> Tokens:
    return make_tokens(
        CharTokenizer(kind="char", alphabet="bytes"),
        TemplateParams(prompt=prompt),
        [],
        folder / "tokens",
    )


def params(source: Mapping[str, Any] | None = None, **values: Any) -> PreferencesParams:
    return PreferencesParams.model_validate(
        {"origin": "raw", "source": source or {"kind": "hh", "splits": {"train": "x"}}, **OPEN, **values}
    )


@dataclass(frozen=True)
class MadeSets:
    """A set of preferences as text, and as a model reads it (`pairs`, `demonstrations`). Of `metrics`, removed
    and cut say what became of the pairs on the whole way.
    """

    texts: PreferenceSets
    pairs: Mapping[Side, Sequence[Pair]]
    responses: Sequence[Record]
    metrics: Mapping[str, Any]


def build_and_tokenise(
    name: str,
    settings: PreferencesParams,
    found: SourceItems,
    tokens: Tokens,
    corpus: Mapping[str, Sequence[str]],
    seed: int,
) -> MadeSets:
    """What the stage writes, and what a model with `tokens` reads of it."""
    sets = build_preferences(name, settings, replace(found, tokens=tokens.digest), corpus, seed)
    read = {side: tokenise_pairs(pairs, tokens, settings.rules, side) for side, pairs in sets.pairs.items()}
    removed, cut = Counter(sets.metrics["removed"]), Counter[str]()
    for tokenised in read.values():
        removed += tokenised.left_out
        cut += tokenised.cut
    responses = tokenise(sets.responses, tokens, settings.rules, "responses", demonstrations=True)
    pairs = {side: tokenised.pairs for side, tokenised in read.items()}
    metrics = {
        **sets.metrics,
        "removed": dict(removed),
        "cut": {"chosen": cut["chosen"], "rejected": cut["rejected"], **responses.left_out},
        "pairs": {side: len(own) for side, own in pairs.items()},
    }
    return MadeSets(sets, pairs, responses.records, metrics)


def from_rows(
    folder: Path, kind: str, rows: Iterable[object], options: Mapping[str, Any] | None = None, **values: Any
) -> MadeSets:
    """`rows` written as JSONL, read by `kind` and built."""
    write_lines(folder / "rows.jsonl", rows)
    settings = params({"kind": kind, "splits": {"train": "rows.jsonl"}, **(options or {})}, **values)
    return build_and_tokenise(
        kind, settings, read_source(kind, settings, folder, 0), byte_tokens(folder), {}, 0
    )


def of(
    folder: Path,
    items: Sequence[Preference],
    corpus: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
    **values: Any,
) -> MadeSets:
    """The set that is made of `items`."""
    return build_and_tokenise(
        "made", params(**values), SourceItems(items), byte_tokens(folder), corpus or {}, seed
    )
