"""What is seen of a set before anything is trained on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from flows.show import Shown


@dataclass(frozen=True)
class Lengths:
    """Median and longest of a text, in tokens, or in characters where no tokenizer is at hand."""

    median: int
    longest: int

    @classmethod
    def of(cls, values: Sequence[int]) -> Lengths | None:
        ordered = sorted(values)
        return cls(ordered[len(ordered) // 2], ordered[-1]) if ordered else None


@dataclass
class SetLook:
    """One set. `rows`: as in a stage's metrics (read, kept, lost by reason); `bad`: the first bad rows;
    `files`: rows by file; `lengths`: by text; `left_out`: what the model would leave out, by reason; `cut`:
    whether more rows are in the files than were looked at.
    """

    name: str
    rows: Mapping[str, Any]
    bad: Sequence[str]
    files: Mapping[str, int]
    unit: str = "characters"
    lengths: dict[str, Lengths] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: list[Shown] = field(default_factory=list)
    cut: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rows": dict(self.rows),
            "bad": list(self.bad),
            "files": dict(self.files),
            "lengths": {name: asdict(value) for name, value in self.lengths.items()},
            "unit": self.unit,
            "left_out": dict(self.left_out),
            "examples": [shown.as_json() for shown in self.examples],
            "first_rows_only": self.cut,
        }
