"""Near-duplicate clusters of questions: one stays of each, none where their references disagree
(reward_bridge.md 1.4.7).

A cluster is a connected component of the similarity graph, so that it depends on the questions and not on
their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipelines.corpora.cleaning.canonical import canonical_form
from pipelines.corpora.cleaning.duplicates import cluster_questions
from pipelines.corpora.cleaning.near import Sketcher
from pipelines.corpora.cleaning.questions import Questions
from pipelines.corpora.exams.item import Exam


def clustered(exams: Sequence[Exam], sketcher: Sketcher) -> tuple[list[Exam], Counter[str]]:
    """The rows that stay, in order, each with its cluster's key, and counts. Earlier rows win; equal text is
    a cluster too.
    """
    group = components([exam.question for exam in exams], sketcher)
    members: dict[int, list[Exam]] = {}
    for exam, number in zip(exams, group, strict=True):
        members.setdefault(number, []).append(exam)
    counts = Counter(
        clusters=len(members),
        exact_duplicates=0,
        near_duplicates=0,
        disagreeing_clusters=0,
        disagreeing_rows=0,
    )
    kept = []
    for found in members.values():
        if len({canonical_form(exam.answer) or exam.answer.strip() for exam in found}) > 1:
            counts["disagreeing_clusters"] += 1
            counts["disagreeing_rows"] += len(found)
            continue
        texts = [canonical_form(exam.question) for exam in found]
        counts["exact_duplicates"] += len(found) - len(set(texts))
        counts["near_duplicates"] += len(set(texts)) - 1
        kept.append(replace(found[0], key=min(texts)))
    return kept, counts


def components(texts: Sequence[str], sketcher: Sketcher) -> list[int]:
    """The cluster of each text: the place of its first member. Texts of one canonical form are one."""
    questions = Questions.of(texts, sketcher)
    _, first, members = np.unique(questions.traits.form, return_index=True, return_inverse=True)
    distinct = np.sort(first)  # equal texts are looked at once
    own = Questions(questions.traits.of_places(distinct), lambda place: texts[int(distinct[place])])
    roots = distinct[cluster_questions(own, sketcher)]
    of_text = dict(zip(distinct.tolist(), roots.tolist(), strict=True))
    return [of_text[place] for place in first[members].tolist()]
