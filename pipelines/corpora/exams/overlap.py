"""Training questions that a test question holds: equal text, a shared run of words or characters, or near-duplicates at 0.6.

methods/reward_bridge.md 1.4.8. The test question always stays; every removal is counted by the set that it fell to and the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pipelines.corpora.canonical import comparable
from pipelines.corpora.exams.exams_params import OverlapParams
from pipelines.corpora.exams.item import Exam
from pipelines.corpora.exams.shingles import Neighbours, Sketches, is_cjk
from pipelines.corpora.text import words


def without_overlap(
    exams: Sequence[Exam], against: Mapping[str, Sequence[str]], params: OverlapParams, sketches: Sketches
) -> tuple[list[Exam], dict[str, Counter[str]]]:
    """`against`: questions of each evaluation set. Returns the rows that stay, and counts[set][text | run | near]."""
    counts = {name: Counter[str](text=0, run=0, near=0) for name in against}
    left = list(exams)
    for name, questions in against.items():
        left = _against(left, questions, params, sketches, counts[name])
    return left, counts


def _against(exams: list[Exam], questions: Sequence[str], params: OverlapParams, sketches: Sketches, counts: Counter[str]) -> list[Exam]:
    texts = {comparable(question) for question in questions}
    index = Neighbours(sketches, params.jaccard)
    for question in questions:
        index.add(question)
    held = {run for question in questions for run in runs(question, params)}
    shared = Counter(run for exam in exams for run in runs(exam.question, params) & held)
    telling = {run for run, number in shared.items() if number <= params.common}
    kept = []
    for exam in exams:
        if comparable(exam.question) in texts:
            counts["text"] += 1
        elif runs(exam.question, params) & telling:
            counts["run"] += 1
        elif index.near(exam.question):
            counts["near"] += 1
        else:
            kept.append(exam)
    return kept


def runs(text: str, params: OverlapParams) -> set[str]:
    """Every run of `words` words; of `characters` characters in CJK text."""
    units: Sequence[str] = comparable(text) if is_cjk(text) else words(text)
    size = params.characters if isinstance(units, str) else params.words
    return set(_joined(units[start : start + size] for start in range(len(units) - size + 1)))


def _joined(parts: Iterable[Sequence[str]]) -> Iterable[str]:
    return (part if isinstance(part, str) else " ".join(part) for part in parts)
