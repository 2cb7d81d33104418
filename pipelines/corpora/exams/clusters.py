"""Near-duplicate clusters of questions: one question of each is kept, none where their references differ
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
from pipelines.corpora.exams.item import ExamQuestion


def deduplicate(exams: Sequence[ExamQuestion], sketcher: Sketcher) -> tuple[list[ExamQuestion], Counter[str]]:
    """Returns the questions that are kept, in order, each with the key of its cluster, and counts. Earlier
    questions have precedence; equal texts are one cluster too.
    """
    roots = components([question.question for question in exams], sketcher)
    by_root: dict[int, list[ExamQuestion]] = {}
    for question, root in zip(exams, roots, strict=True):
        by_root.setdefault(root, []).append(question)
    counts = Counter(
        clusters=len(by_root),
        exact_duplicates=0,
        near_duplicates=0,
        disagreeing_clusters=0,
        disagreeing_rows=0,
    )
    unique = []
    for cluster in by_root.values():
        if len({canonical_form(question.answer) or question.answer.strip() for question in cluster}) > 1:
            counts["disagreeing_clusters"] += 1
            counts["disagreeing_rows"] += len(cluster)
            continue
        forms = [canonical_form(question.question) for question in cluster]
        counts["exact_duplicates"] += len(cluster) - len(set(forms))
        counts["near_duplicates"] += len(set(forms)) - 1
        unique.append(replace(cluster[0], key=min(forms)))
    return unique, counts


def components(texts: Sequence[str], sketcher: Sketcher) -> list[int]:
    """Returns the cluster of each text: the index of its first member. Texts of one canonical form are in one
    cluster.
    """
    questions = Questions.of(texts, sketcher)
    _, first, members = np.unique(questions.traits.form, return_index=True, return_inverse=True)
    distinct = np.sort(first)  # equal texts are looked at once
    distinct_questions = Questions(
        questions.traits.at_indices(distinct), lambda index: texts[int(distinct[index])]
    )
    roots = distinct[cluster_questions(distinct_questions, sketcher)]
    of_text = dict(zip(distinct.tolist(), roots.tolist(), strict=True))
    return [of_text[index] for index in first[members].tolist()]
