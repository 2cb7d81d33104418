"""Training questions that a test question holds: equal text, a shared run of words or characters, a short
test question that stands in them as a whole, or near-duplicates at 0.6.

reward_bridge.md 1.4.8. The test question always stays; every removal is counted by the set that it fell to
and the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pipelines.corpora.cleaning.contamination import REASONS, contaminated
from pipelines.corpora.cleaning.questions import Questions
from pipelines.corpora.corpus_params import DecontaminateParams
from pipelines.corpora.exams.exams_params import OverlapParams
from pipelines.corpora.exams.item import Exam
from pipelines.corpora.exams.shingles import Shingling

NAMES = {"text": "text", "ngram": "run", "contained": "contained", "near": "near"}


def without_overlap(
    exams: Sequence[Exam], against: Mapping[str, Sequence[str]], params: OverlapParams, shingling: Shingling
) -> tuple[list[Exam], dict[str, Counter[str]]]:
    """`against`: questions of each evaluation set. Returns the rows that stay, and counts[set][text | run |
    contained | near].
    """
    counts = {name: Counter[str](dict.fromkeys(NAMES.values(), 0)) for name in against}
    rules = DecontaminateParams(ngram=params.words, characters=params.characters, common=params.common)
    sketcher = shingling.sketcher(params.jaccard)
    left = list(exams)
    for name, questions in against.items():
        mine = Questions.of([exam.question for exam in left], sketcher)
        reasons = contaminated(mine, Questions.of(list(questions), sketcher), rules, sketcher).tolist()
        counts[name].update(NAMES[REASONS[reason - 1]] for reason in reasons if reason)
        left = [exam for exam, reason in zip(left, reasons, strict=True) if not reason]
    return left, counts
