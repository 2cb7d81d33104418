"""The words that generated problems are made of: rows {kind, word}, JSON Lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.raw.rows import read_rows


def read_words(
    path: Path, kinds: Iterable[str], ledger: Ledger, fault: Callable[[str, Any], str]
) -> dict[str, list[str]]:
    """Returns the words by kind, sorted: the order of the file does not matter. `fault` says what is wrong
    with a word of a kind, empty for nothing; bad rows count in the ledger.
    """
    words: dict[str, set[str]] = {kind: set() for kind in kinds}
    for where, row in read_rows(path, ledger):
        kind, word = str(row.get("kind")), row.get("word")
        if kind not in words:
            ledger.reject(where, f"kind must be one of {', '.join(words)}, not {kind!r}", "kind")
        elif reason := fault(kind, word):
            ledger.reject(where, reason, "word")
        else:
            ledger.accept()
            words[kind].add(str(word))
    return {kind: sorted(words_of_kind) for kind, words_of_kind in words.items()}
