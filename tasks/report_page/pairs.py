"""Two models' answers to the same problems: what changed from the first to the second, with a few examples of
each kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.report_page.results import Row

KINDS = {
    (False, True): "improved",
    (True, False): "regressed",
    (False, False): "both wrong",
    (True, True): "both right",
}


@dataclass(frozen=True)
class SamplePair:
    """One problem with the answer of the model before and of the model after."""

    before: Row
    after: Row

    @property
    def kind(self) -> str:
        return KINDS[self.before["verdict"] == "right", self.after["verdict"] == "right"]

    @property
    def subject(self) -> str:
        return str(self.before.get("subject", ""))


def pair(before: Iterable[Row], after: Iterable[Row], decoding: str) -> list[SamplePair]:
    """Returns the problems that both answered, in the first file's order; of several samples of one problem,
    the first.
    """
    second = _first(after, decoding)
    return [SamplePair(row, second[key]) for key, row in _first(before, decoding).items() if key in second]


def by_kind(pairs: Iterable[SamplePair]) -> dict[str, list[SamplePair]]:
    """Returns the pairs of every kind, also of those without pairs."""
    groups: dict[str, list[SamplePair]] = {kind: [] for kind in KINDS.values()}
    for sample in pairs:
        groups[sample.kind].append(sample)
    return groups


def spread(pairs: Sequence[SamplePair], count: int) -> list[SamplePair]:
    """Returns `count` pairs, taken from the subjects in turn, so that one subject at the top of the file does
    not fill the page.
    """
    subjects: dict[str, list[SamplePair]] = {}
    for sample in pairs:
        subjects.setdefault(sample.subject, []).append(sample)
    turns = [
        (turn, subject_index, sample)
        for subject_index, group in enumerate(subjects.values())
        for turn, sample in enumerate(group)
    ]
    turns.sort(key=lambda item: item[:2])
    return [sample for _, _, sample in turns[:count]]


def _first(rows: Iterable[Row], decoding: str) -> dict[str, Row]:
    first: dict[str, Row] = {}
    for row in rows:
        if row["decoding"] == decoding:
            first.setdefault(row["id"], row)
    return first
