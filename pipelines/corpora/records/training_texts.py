"""The texts of a set that a tokenizer may be trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.corpora.records.example import Example, read_examples
from pipelines.corpora.records.set_rules import SetRules

FILES = ("sft", "explore", "rl")  # of a set: validation and held-out rows are not used


@dataclass(frozen=True)
class TrainingTexts(Iterable[tuple[str, str | None]]):
    """Questions with their demonstrations that a tokenizer is trained on, each row once; with `answers` the
    reference answers as well.
    """

    files: tuple[Path, ...]
    answers: bool = False

    @classmethod
    def of(cls, folder: Path) -> TrainingTexts:
        """Returns the texts of the set in `folder`."""
        return cls(tuple(folder / f"{file}.jsonl" for file in FILES), SetRules.read(folder).answers)

    def __iter__(self) -> Iterator[tuple[str, str | None]]:
        for example in _distinct(self.files):
            yield example.prompt, example.response
            if self.answers:
                yield example.answer, None


def _distinct(files: Iterable[Path]) -> Iterator[Example]:
    seen: set[tuple[str, str | None]] = set()
    for path in files:
        for example in read_examples(path) if path.is_file() else ():
            if (key := (example.id, example.response)) not in seen:
                seen.add(key)
                yield example
