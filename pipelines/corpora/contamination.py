"""Training rows that held-out or validation rows contain: found by equal text, equal key, a shared n-gram, or near-duplicate search.

The held-out row always stays; the other side gives way, and every reason is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipelines.corpora.canonical import comparable, loose
from pipelines.corpora.corpus_params import DecontaminateParams, NearParams
from pipelines.corpora.duplicates import NearIndex
from pipelines.corpora.problem import Problem
from pipelines.corpora.text import words


def group_of(problem: Problem) -> str:
    """What the split goes by: the source's key, or the loose form of the question where it gives none."""
    return problem.key or loose(problem.question)


def decontaminate(
    rows: Sequence[Problem], against: Sequence[Problem], params: DecontaminateParams, near: NearParams | None
) -> tuple[list[Problem], Counter[str]]:
    """The rows that `against` does not contain, and the number dropped by each reason: text, key, ngram, near."""
    texts = {comparable(row.question) for row in against}
    keys = {row.key for row in against if row.key}
    grams = _telling_grams(rows, against, params)
    index = None
    if params.near and near is not None and rows:
        index = NearIndex(near)
        for row in against:
            index.add(row.question)
    kept, dropped = [], Counter[str]()
    for row in rows:
        if comparable(row.question) in texts:
            dropped["text"] += 1
        elif row.key in keys:
            dropped["key"] += 1
        elif any(gram in grams for gram in _grams(row.question, params.ngram)):
            dropped["ngram"] += 1
        elif index is not None and index.seen(row.question):
            dropped["near"] += 1
        else:
            kept.append(row)
    return kept, dropped


def _telling_grams(rows: Sequence[Problem], against: Sequence[Problem], params: DecontaminateParams) -> set[str]:
    """N-grams of `against`, without those that more than `common` of `rows` hold: `where m and n are relatively prime integers`."""
    grams = {gram for row in against for gram in _grams(row.question, params.ngram)}
    frequency = Counter(gram for row in rows for gram in _grams(row.question, params.ngram) & grams)
    return {gram for gram in grams if frequency[gram] <= params.common}


def _grams(text: str, size: int | None) -> set[str]:
    if size is None:
        return set()
    parts = words(text)
    return {" ".join(parts[start : start + size]) for start in range(len(parts) - size + 1)}
