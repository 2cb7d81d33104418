"""Read an exam, and unite exams into one multi-subject set: convert, cluster, split by cluster,
decontaminate; every loss is counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.corpora.cleaning.canonical import loose
from pipelines.corpora.cleaning.split import Shares, fraction
from pipelines.corpora.exams.clusters import clustered
from pipelines.corpora.exams.convert import REASONS, convert, length
from pipelines.corpora.exams.exams_params import SPLITS, ExamSetParams, ExamsParams, ExamSplit
from pipelines.corpora.exams.item import Exam
from pipelines.corpora.exams.overlap import without_overlap
from pipelines.corpora.exams.shingles import Shingling
from pipelines.corpora.exams.subjects import FIELDS
from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.raw.problem import Reading
from pipelines.corpora.records.rows_kept import rows_kept
from pipelines.seams import load
from pipelines.sources.opening import Opener, unrecorded


@dataclass(frozen=True)
class ExamSet:
    """Questions by split, and every count on the way."""

    splits: Mapping[ExamSplit, Sequence[Exam]]
    metrics: Mapping[str, Any]


def read_exam(
    name: str, params: ExamsParams, root: Path, seed: int, open_source: Opener = unrecorded
) -> tuple[list[Exam], dict[str, Any]]:
    """One exam in free form. TooManyBadRows, ValueError or OSError when the raw data cannot be used; all name
    file and way out.
    """
    ledger = Ledger(name)
    reading = Reading(root, name, seed, Shares(), ledger, f"exams.{name}.origin", open_source)
    counts = Counter[str](
        kept_multiple_choice=0, kept_free_form=0, long_question=0, long_answer=0, **dict.fromkeys(REASONS, 0)
    )
    found = []
    for item in load("pipelines.corpora.exams", params.source.kind).read(params.source, reading):
        exam = convert(item, name, counts)
        if exam is None:
            continue
        too_long = (
            length(exam.question) > params.max_question_words,
            length(exam.answer) > params.max_answer_words,
        )
        if any(too_long):
            counts["kept_multiple_choice" if item.options else "kept_free_form"] -= 1
            counts["long_question" if too_long[0] else "long_answer"] += 1
        else:
            found.append(exam)
    ledger.check(params.max_bad_rows)
    lost = {rule: number for rule, number in counts.items() if not rule.startswith("kept_")} | {
        "bad rows": ledger.bad
    }
    rows = rows_kept(len(found) + sum(lost.values()), lost, "questions")
    return found, {
        "exam": name,
        "rows": rows,
        "source": ledger.summary(),
        "conversion": dict(counts),
        **profile(found),
    }


def unite(
    exams: Mapping[str, Sequence[Exam]],
    params: ExamSetParams,
    against: Mapping[str, Sequence[str]] | None = None,
) -> ExamSet:
    """`exams` by name, in the order of precedence; `against`: questions of other evaluation sets, by name.

    The test split stays whole but for what the other evaluation sets hold; calib gives way to it, rl to both,
    explore to all three.
    """
    shingling = Shingling(params.word_shingle, params.character_shingle, params.permutations)
    rows = [exam for name, found in exams.items() for exam in _limited(found, params.limits.get(name))]
    unique, duplicates = clustered(rows, shingling.sketcher(params.near))
    splits: dict[ExamSplit, list[Exam]] = {split: [] for split in SPLITS}
    for exam in sorted(unique, key=lambda exam: fraction("order:" + exam.key)):
        splits[side(exam.key, params)].append(exam)
    contamination: dict[str, Any] = {}
    outside = dict(against or {})
    for number, split in enumerate(reversed(SPLITS)):
        inside = SPLITS[::-1][:number]
        sets = outside | {other: [exam.question for exam in splits[other]] for other in inside}
        splits[split], found = without_overlap(splits[split], sets, params.overlap, shingling)
        contamination[split] = {name: dict(count) for name, count in found.items()}
    metrics = {
        "rows": {name: len(found) for name, found in exams.items()},
        "limited": len(rows),
        "duplicates": dict(duplicates),
        "contamination": contamination,
        "splits": {split: profile(found) for split, found in splits.items()},
    }
    return ExamSet(splits, metrics)


def side(key: str, params: ExamSetParams) -> ExamSplit:
    """The split of a cluster: by a hash of its key and nothing else."""
    place, bound = fraction("split:" + key), 0.0
    for split in SPLITS[::-1]:
        bound += getattr(params.shares, split)
        if place < bound:
            return split
    return SPLITS[0]


def profile(exams: Sequence[Exam]) -> dict[str, Any]:
    """Counts by source, field, subject, language and shape of the reference."""
    fields = Counter(exam.field for exam in exams)
    return {
        "questions": len(exams),
        "fields": {name: fields[name] for name in FIELDS},
        **{
            plural: dict(sorted(Counter(getattr(exam, name) for exam in exams).items()))
            for plural, name in (
                ("sources", "source"),
                ("subjects", "subject"),
                ("languages", "language"),
                ("shapes", "shape"),
            )
        },
    }


def write_exams(path: Path, exams: Iterable[Exam]) -> None:
    """One compact JSON object a line: equal questions are equal bytes."""
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        for exam in exams:
            stream.write(json.dumps(exam.row(), ensure_ascii=False, separators=(",", ":")) + "\n")


def read_exams(path: Path) -> list[Exam]:
    """All rows in order. ValueError names file and line: a damaged file is to be made again."""
    found = []
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                found.append(Exam(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"{path}:{number}: {error}; the file is damaged, run its stage again"
                ) from error
    return found


def _limited(exams: Sequence[Exam], limit: int | None) -> list[Exam]:
    if limit is None or limit >= len(exams):
        return list(exams)
    chosen = sorted(range(len(exams)), key=lambda place: fraction("limit:" + loose(exams[place].question)))[
        :limit
    ]
    return [exams[place] for place in sorted(chosen)]
