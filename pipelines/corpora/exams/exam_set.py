"""Reads an exam, and unites exams into one multi-subject set: convert, cluster, split by cluster,
decontaminate; every loss is counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.corpora.cleaning.canonical import loose_form
from pipelines.corpora.cleaning.split import Shares, hash_fraction
from pipelines.corpora.exams.clusters import deduplicate
from pipelines.corpora.exams.convert import REASONS, convert, word_count
from pipelines.corpora.exams.exams_params import SPLITS, ExamSetParams, ExamsParams, ExamSplit
from pipelines.corpora.exams.item import ExamQuestion
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
    """Questions by split, and all counts for the metrics."""

    splits: Mapping[ExamSplit, Sequence[ExamQuestion]]
    metrics: Mapping[str, Any]


def read_exam(
    name: str, params: ExamsParams, root: Path, seed: int, open_source: Opener = unrecorded
) -> tuple[list[ExamQuestion], dict[str, Any]]:
    """Returns the questions of one exam in free form, and the metrics. Raises TooManyBadRows, ValueError or
    OSError when the raw data cannot be used; each names the file and the way out.
    """
    ledger = Ledger(name)
    reading = Reading(root, name, seed, Shares(), ledger, f"exams.{name}.origin", open_source)
    counts = Counter[str](
        kept_multiple_choice=0, kept_free_form=0, long_question=0, long_answer=0, **dict.fromkeys(REASONS, 0)
    )
    questions = []
    for item in load("pipelines.corpora.exams", params.source.kind).read(params.source, reading):
        question = convert(item, name, counts)
        if question is None:
            continue
        too_long = (
            word_count(question.question) > params.max_question_words,
            word_count(question.answer) > params.max_answer_words,
        )
        if any(too_long):
            counts["kept_multiple_choice" if item.options else "kept_free_form"] -= 1
            counts["long_question" if too_long[0] else "long_answer"] += 1
        else:
            questions.append(question)
    ledger.check(params.max_bad_rows)
    lost = {rule: number for rule, number in counts.items() if not rule.startswith("kept_")} | {
        "bad rows": ledger.bad
    }
    rows = rows_kept(len(questions) + sum(lost.values()), lost, "questions")
    return questions, {
        "exam": name,
        "rows": rows,
        "source": ledger.summary(),
        "conversion": dict(counts),
        **profile(questions),
    }


def unite(
    exams: Mapping[str, Sequence[ExamQuestion]],
    params: ExamSetParams,
    against: Mapping[str, Sequence[str]] | None = None,
) -> ExamSet:
    """Returns the united set. `exams`: questions by name, in order of precedence; `against`: questions of
    other evaluation sets, by name.

    The test split loses only what other evaluation sets contain; calib gives way to it, rl to both, explore
    to all three.
    """
    shingling = Shingling(params.word_shingle, params.character_shingle, params.permutations)
    rows = [
        question
        for name, questions in exams.items()
        for question in _limited(questions, params.limits.get(name))
    ]
    unique, duplicates = deduplicate(rows, shingling.sketcher(params.near))
    splits: dict[ExamSplit, list[ExamQuestion]] = {split: [] for split in SPLITS}
    for question in sorted(unique, key=lambda question: hash_fraction("order:" + question.key)):
        splits[side(question.key, params)].append(question)
    contamination: dict[str, Any] = {}
    outside = dict(against or {})
    for number, split in enumerate(reversed(SPLITS)):
        inside = SPLITS[::-1][:number]
        sets = outside | {other: [question.question for question in splits[other]] for other in inside}
        splits[split], removed = without_overlap(splits[split], sets, params.overlap, shingling)
        contamination[split] = {name: dict(count) for name, count in removed.items()}
    metrics = {
        "rows": {name: len(questions) for name, questions in exams.items()},
        "limited": len(rows),
        "duplicates": dict(duplicates),
        "contamination": contamination,
        "splits": {split: profile(questions) for split, questions in splits.items()},
    }
    return ExamSet(splits, metrics)


def side(key: str, params: ExamSetParams) -> ExamSplit:
    """Returns the split of a cluster, by a hash of its key and nothing else."""
    position, bound = hash_fraction("split:" + key), 0.0
    for split in SPLITS[::-1]:
        bound += getattr(params.shares, split)
        if position < bound:
            return split
    return SPLITS[0]


def profile(exams: Sequence[ExamQuestion]) -> dict[str, Any]:
    """Returns counts by source, field, subject, language and shape of the reference."""
    fields = Counter(question.field for question in exams)
    return {
        "questions": len(exams),
        "fields": {name: fields[name] for name in FIELDS},
        **{
            plural: dict(sorted(Counter(getattr(question, name) for question in exams).items()))
            for plural, name in (
                ("sources", "source"),
                ("subjects", "subject"),
                ("languages", "language"),
                ("shapes", "shape"),
            )
        },
    }


def write_exams(path: Path, exams: Iterable[ExamQuestion]) -> None:
    """Writes one compact JSON object per line: equal questions give equal bytes."""
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        for question in exams:
            stream.write(json.dumps(question.row(), ensure_ascii=False, separators=(",", ":")) + "\n")


def read_exams(path: Path) -> list[ExamQuestion]:
    """Returns all questions, in order. Raises ValueError, naming file and line: a damaged file must be made
    again.
    """
    questions = []
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                questions.append(ExamQuestion(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"{path}:{number}: {error}; the file is damaged, run its stage again"
                ) from error
    return questions


def _limited(exams: Sequence[ExamQuestion], limit: int | None) -> list[ExamQuestion]:
    if limit is None or limit >= len(exams):
        return list(exams)
    chosen = sorted(
        range(len(exams)), key=lambda index: hash_fraction("limit:" + loose_form(exams[index].question))
    )[:limit]
    return [exams[index] for index in sorted(chosen)]
