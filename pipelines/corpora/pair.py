"""A preference as it passes through the pipeline: read from raw data, labelled, and at last tokenised.

`Labelled` is one answer with its label, `Preference` two answers of which one is preferred, `Pair` the same
as token ids: what every later stage reads. Ids travel; the text is for people and checkers. A file of pairs
is our own output: a bad row in it is damage.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from pydantic import SkipValidation, model_validator
from pydantic.dataclasses import dataclass as strict_dataclass

from pipelines.corpora.json_lines import STRICT, Text, TokenIds, read_json_lines
from pipelines.corpora.split import Side
from pipelines.models.conversation import Conversation


@dataclass(frozen=True)
class Labelled:
    """One answer that was labelled alone. Of two answers to one prompt the one with the higher `grade` is
    preferred; equal grades say nothing. `key` is what the split goes by, empty: the prompt. `where` is file
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
    """Two answers to one prompt. Safety records hold both labels and both flags (dpo_vs_ppo.md 1.1, 1.3);
    elsewhere they are None.

    `helpful`, `safer`: whether the helpfulness label l_h and the safety label l_s prefer `chosen`. `side`:
    where the raw data places the row; `train` rows are still to be split, by `key` (empty: the prompt).
    `ids`: token ids of the answers that a model wrote. Its texts are those of the raw row, blank for blank.
    `conversation` as in `Labelled`.
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

    @property
    def flagged(self) -> bool:
        """Whether both answers have a safety flag."""
        return self.chosen_safe is not None and self.rejected_safe is not None

    def swapped(self) -> Preference:
        """The same two answers with the other one preferred; what the labels say of the answers stays."""
        return replace(
            self,
            chosen=self.rejected,
            rejected=self.chosen,
            chosen_safe=self.rejected_safe,
            rejected_safe=self.chosen_safe,
            helpful=None if self.helpful is None else not self.helpful,
            safer=None if self.safer is None else not self.safer,
            ids=(self.ids[1], self.ids[0]),
        )


@strict_dataclass(frozen=True, config=STRICT)
class Pair:
    """One preference, tokenised. `prompt_ids` has the template applied; answers end with EOS, or what ends a
    turn, unless they were cut at the token limit or a model did not end them. `group` is the key of the
    prompt: all pairs of one prompt share it, and no split divides it.
    """

    id: Text
    prompt: Text
    chosen: str
    rejected: str
    source: Text
    prompt_ids: TokenIds
    chosen_ids: TokenIds
    rejected_ids: TokenIds
    group: Text
    chosen_safe: bool | None = None
    rejected_safe: bool | None = None
    helpful: bool | None = None
    safer: bool | None = None
    meta: SkipValidation[Mapping[str, Any]] = field(default_factory=dict)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.chosen_ids == self.rejected_ids:
            raise ValueError("chosen_ids equal rejected_ids: such a pair prefers nothing")
        if (self.chosen_safe is None) != (self.rejected_safe is None):
            raise ValueError("chosen_safe and rejected_safe must both be there, or both be null")
        return self


FIELDS = tuple(item.name for item in fields(Pair))


def read_pairs(path: str | Path) -> list[Pair]:
    """All rows in order. ValueError names file, line and reason: a damaged file is to be restored, not
    trained on.
    """
    return read_json_lines(path, Pair, "run its preferences stage again")


def write_pairs(path: str | Path, pairs: Iterable[Pair]) -> int:
    """One compact JSON object a line, keys in the order of the fields: equal pairs are equal bytes. Returns
    their number.
    """
    count = 0
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        for pair in pairs:
            value = {name: getattr(pair, name) for name in FIELDS}
            stream.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
            count += 1
    return count
