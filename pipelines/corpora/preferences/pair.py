"""A preference in all its forms: read from raw data, labelled, written as text, and tokenised.

`Labelled` is one answer with its label, `Preference` two answers of which one is preferred, `PairExample` the
same as it is stored, `Pair` the same as token ids of one model: the input of training and evaluation. A file
of pairs is our own output: a bad row in it means damage.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import SkipValidation, model_validator
from pydantic.dataclasses import dataclass as strict_dataclass

from pipelines.corpora.cleaning.split import Side
from pipelines.corpora.records.json_lines import STRICT, Text, TokenIds, read_json_lines
from pipelines.models.conversation import Conversation

Answer = Literal["chosen", "rejected"]


@dataclass(frozen=True)
class Labelled:
    """One answer that was labelled on its own. Of two answers to one prompt the one with the higher `grade`
    is preferred; equal grades give no preference. `key`: the split key, empty for the prompt. `where`: file
    and row.
    """

    prompt: str
    answer: str
    grade: float
    source: str
    side: Side = "train"
    safe: bool | None = None
    key: str = ""
    where: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    conversation: Conversation | None = None


@dataclass(frozen=True)
class Preference:
    """Two answers to one prompt. Safety records hold both labels and both flags (dpo_vs_ppo.md 1.1, 1.3); in
    others they are None. Its texts are those of the raw row, unchanged.

    `helpful`, `safer`: whether the helpfulness label l_h and the safety label l_s prefer `chosen`. `side`:
    where the raw data places the row; `train` rows are still to be split, by `key` (empty: the prompt).
    `ids`: token ids of the answers that a model wrote, `finished`: whether it ended them. `conversation` as
    in `Labelled`.
    """

    prompt: str
    chosen: str
    rejected: str
    source: str
    side: Side = "train"
    chosen_safe: bool | None = None
    rejected_safe: bool | None = None
    helpful: bool | None = None
    safer: bool | None = None
    key: str = ""
    where: str = ""
    ids: tuple[tuple[int, ...] | None, tuple[int, ...] | None] = (None, None)
    meta: Mapping[str, Any] = field(default_factory=dict)
    conversation: Conversation | None = None
    finished: tuple[bool, bool] = (True, True)

    @property
    def flagged(self) -> bool:
        """Returns whether both answers have a safety flag."""
        return self.chosen_safe is not None and self.rejected_safe is not None

    def swapped(self) -> Preference:
        """Returns the same two answers with the other one preferred; what the labels say of each answer is
        unchanged.
        """
        return replace(
            self,
            chosen=self.rejected,
            rejected=self.chosen,
            chosen_safe=self.rejected_safe,
            rejected_safe=self.chosen_safe,
            helpful=None if self.helpful is None else not self.helpful,
            safer=None if self.safer is None else not self.safer,
            ids=(self.ids[1], self.ids[0]),
            finished=(self.finished[1], self.finished[0]),
        )


@strict_dataclass(frozen=True, config=STRICT)
class PairExample:
    """One preference as text. `group`: the key of the prompt, which all pairs of one prompt share; no split
    divides a group. `conversation`: the prompt as turns, where it has several.

    Answers that a model wrote keep its token ids (`chosen_ids`, `rejected_ids`), with the digest of its
    tokenizer and template in `tokens`: a model with the same digest uses them instead of the text.
    `unfinished`: the answers (chosen, rejected) that their model did not end.
    """

    id: Text
    prompt: Text
    chosen: str
    rejected: str
    source: Text
    group: Text
    chosen_safe: bool | None = None
    rejected_safe: bool | None = None
    helpful: bool | None = None
    safer: bool | None = None
    meta: SkipValidation[Mapping[str, Any]] = field(default_factory=dict)
    conversation: SkipValidation[Mapping[str, Any] | None] = None
    chosen_ids: TokenIds | None = None
    rejected_ids: TokenIds | None = None
    tokens: str | None = None
    unfinished: list[Answer] = field(default_factory=list)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if (self.chosen_safe is None) != (self.rejected_safe is None):
            raise ValueError("chosen_safe and rejected_safe must both be there, or both be null")
        if (self.chosen_ids or self.rejected_ids) and not self.tokens:
            raise ValueError("ids without `tokens`, the digest of the contract that they belong to")
        return self


@dataclass(frozen=True)
class Pair:
    """One preference, tokenised for one model. `prompt_ids`: the template is applied; answers end with EOS,
    or with the token that ends a turn, unless they were cut at the token limit or a model did not end them.
    `group` as in `PairExample`.
    """

    id: str
    prompt: str
    chosen: str
    rejected: str
    source: str
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    group: str
    chosen_safe: bool | None = None
    rejected_safe: bool | None = None
    helpful: bool | None = None
    safer: bool | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.chosen_ids == self.rejected_ids:
            raise ValueError("chosen_ids equal rejected_ids: such a pair prefers nothing")


FIELDS = tuple(item.name for item in fields(PairExample))
# written only where they say something
OPTIONAL: Mapping[str, Any] = {
    "conversation": None, "chosen_ids": None, "rejected_ids": None, "tokens": None, "unfinished": [],
}  # fmt: skip


def read_pair_examples(path: str | Path) -> list[PairExample]:
    """Returns all rows, in order. Raises ValueError, naming file, line and reason: a damaged file must be
    restored, not trained on.
    """
    return read_json_lines(path, PairExample, "run its preferences stage again")


def write_pair_examples(path: str | Path, pairs: Iterable[PairExample]) -> int:
    """Writes one compact JSON object per line, keys in the order of the fields: equal pairs give equal bytes.
    Returns the number of pairs.
    """
    count = 0
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        for pair in pairs:
            values = ((name, getattr(pair, name)) for name in FIELDS)
            written = {
                name: value for name, value in values if name not in OPTIONAL or value != OPTIONAL[name]
            }
            stream.write(json.dumps(written, ensure_ascii=False, separators=(",", ":")) + "\n")
            count += 1
    return count
