"""Files of a set as its stage writes them, from what a test has in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from pipelines.corpora.preferences.pair import Pair, PairExample, write_pair_examples
from pipelines.corpora.records.example import write_examples
from pipelines.corpora.records.set_rules import SetRules

RULES = SetRules(max_prompt_tokens=512, max_response_tokens=512, reward="final_answer")


def write_records(path: str | Path, records: Iterable[Any]) -> None:
    """Records or examples as text, and the set's rules beside them."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_examples(path, records)
    RULES.write(Path(path).parent)


def write_pairs(path: str | Path, pairs: Iterable[Pair]) -> None:
    """Pairs as text, without their ids, and the set's rules beside them."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_pair_examples(path, texts(pairs))
    RULES.write(Path(path).parent)


def texts(pairs: Iterable[Pair]) -> list[PairExample]:
    """Pairs without their ids."""
    names = {item.name for item in fields(PairExample)} - {"chosen_ids", "rejected_ids"}
    return [
        PairExample(**{name: value for name, value in vars(pair).items() if name in names}) for pair in pairs
    ]
