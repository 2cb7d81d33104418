"""Near-duplicate clusters of questions: one stays of each, none where their references disagree (methods/reward_bridge.md 1.4.7).

A cluster is a connected component of the similarity graph, so that it depends on the questions and not on their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pipelines.corpora.canonical import comparable
from pipelines.corpora.exams.item import Exam
from pipelines.corpora.exams.shingles import Neighbours, Sketches


def clustered(exams: Sequence[Exam], sketches: Sketches, threshold: float) -> tuple[list[Exam], Counter[str]]:
    """The rows that stay, in order, each with its cluster's key, and counts. Earlier rows win; equal text is a cluster too."""
    group = components([exam.question for exam in exams], sketches, threshold)
    members: dict[int, list[Exam]] = {}
    for exam, number in zip(exams, group, strict=True):
        members.setdefault(number, []).append(exam)
    counts = Counter(clusters=len(members), exact_duplicates=0, near_duplicates=0, disagreeing_clusters=0, disagreeing_rows=0)
    kept = []
    for found in members.values():
        if len({comparable(exam.answer) or exam.answer.strip() for exam in found}) > 1:
            counts["disagreeing_clusters"] += 1
            counts["disagreeing_rows"] += len(found)
            continue
        texts = [comparable(exam.question) for exam in found]
        counts["exact_duplicates"] += len(found) - len(set(texts))
        counts["near_duplicates"] += len(set(texts)) - 1
        kept.append(replace(found[0], key=min(texts)))
    return kept, counts


def components(texts: Sequence[str], sketches: Sketches, threshold: float) -> list[int]:
    """The cluster of each text: the place of its first member."""
    parent = list(range(len(texts)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    seen: dict[str, int] = {}
    index = Neighbours(sketches, threshold)
    places: list[int] = []  # of the texts in the index: equal ones are in it once
    for place, text in enumerate(texts):
        first = seen.setdefault(comparable(text), place)
        if first != place:
            parent[place] = first
            continue
        for other in index.add(text):
            one, two = sorted((root(place), root(places[other])))
            parent[two] = one
        places.append(place)
    return [root(place) for place in range(len(texts))]
