"""Removes training questions that contain a test question: equal text, a shared run of words or characters, a
short test question that occurs in them as a whole, or near-duplicates (reward_bridge.md 1.4.8).

The test question always stays; every removal is counted by the evaluation set and the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pipelines.corpora.cleaning.contamination import REASONS, contaminated
from pipelines.corpora.cleaning.questions import Questions
from pipelines.corpora.corpus_params import DecontaminateParams
from pipelines.corpora.exams.exams_params import OverlapParams
from pipelines.corpora.exams.item import ExamQuestion
from pipelines.corpora.exams.shingles import Shingling

NAMES = {"text": "text", "ngram": "run", "contained": "contained", "near": "near"}


def without_overlap(
    exams: Sequence[ExamQuestion],
    against: Mapping[str, Sequence[str]],
    params: OverlapParams,
    shingling: Shingling,
) -> tuple[list[ExamQuestion], dict[str, Counter[str]]]:
    """Returns the questions that stay, and counts[set][text | run | contained | near]. `against`: questions
    of each evaluation set.
    """
    counts = {name: Counter[str](dict.fromkeys(NAMES.values(), 0)) for name in against}
    rules = DecontaminateParams(ngram=params.words, characters=params.characters, common=params.common)
    sketcher = shingling.sketcher(params.jaccard)
    remaining = list(exams)
    for name, questions in against.items():
        training_questions = Questions.of([exam.question for exam in remaining], sketcher)
        reasons = contaminated(
            training_questions, Questions.of(list(questions), sketcher), rules, sketcher
        ).tolist()
        counts[name].update(NAMES[REASONS[reason - 1]] for reason in reasons if reason)
        remaining = [exam for exam, reason in zip(remaining, reasons, strict=True) if not reason]
    return remaining, counts
