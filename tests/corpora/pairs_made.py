"""Small preference sets for the tests: sources written to a folder, built with a byte-level character
tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.corpora.pair import Preference
from pipelines.corpora.preferences import Found, PreferenceSets, build_preferences, read_source
from pipelines.corpora.preferences_params import PreferencesParams
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
        "final_answer",
        [],
        folder / "tokens",
    )


def params(source: Mapping[str, Any] | None = None, **values: Any) -> PreferencesParams:
    return PreferencesParams.model_validate(
        {"origin": "raw", "source": source or {"kind": "hh", "splits": {"train": "x"}}, **OPEN, **values}
    )


def from_rows(
    folder: Path, kind: str, rows: Iterable[object], options: Mapping[str, Any] | None = None, **values: Any
) -> PreferenceSets:
    """`rows` written as JSONL, read by `kind` and built."""
    write_lines(folder / "rows.jsonl", rows)
    settings = params({"kind": kind, "splits": {"train": "rows.jsonl"}, **(options or {})}, **values)
    return build_preferences(
        kind, settings, read_source(kind, settings, folder, 0), byte_tokens(folder), {}, 0
    )


def of(
    folder: Path,
    items: Sequence[Preference],
    corpus: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
    **values: Any,
) -> PreferenceSets:
    """The set that is made of `items`."""
    return build_preferences("made", params(**values), Found(items), byte_tokens(folder), corpus or {}, seed)
