"""Training rows that held-out or validation rows contain: found by equal text, equal key, a shared n-gram, a
short question that stands in the row as a whole, or near-duplicate search.

The held-out row always stays; the other side gives way, and every reason is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.corpora.cleaning.duplicates import sketcher_of
from pipelines.corpora.cleaning.essence import reordered
from pipelines.corpora.cleaning.held import Held, Sizes
from pipelines.corpora.cleaning.near import NearIndex, Sketcher
from pipelines.corpora.cleaning.questions import Questions
from pipelines.corpora.corpus_params import DecontaminateParams, NearParams
from pipelines.corpora.raw.problem import Problem

REASONS = ("text", "key", "ngram", "contained", "near")
Reasons = NDArray[np.uint8]


def contaminated(
    rows: Questions, against: Questions, params: DecontaminateParams, sketcher: Sketcher | None
) -> Reasons:
    """(rows,): 0 for a row that `against` does not contain, else 1 + the place in REASONS of the first reason
    that holds.
    """
    found = np.zeros(len(rows), np.uint8)
    if not len(rows) or not len(against):
        return found
    mine, theirs = rows.traits, against.traits
    found[(mine.key != 0) & np.isin(mine.key, theirs.key)] = 2
    found[np.isin(mine.form, theirs.form)] = 1
    if params.ngram is not None:
        grams, contained = _held(rows, against, Sizes(params.ngram, params.characters), params.common)
        found[(found == 0) & grams] = 3
        found[(found == 0) & contained] = 4
    if params.near and sketcher is not None:
        left = np.flatnonzero(found == 0)
        for row, place in NearIndex(theirs.bands).candidates(mine.bands[left]):
            if not found[left[row]]:
                one, other = rows.text(int(left[row])), against.text(place)
                if sketcher.alike(one, other) and not reordered(one, other):
                    found[left[row]] = 5
    return found


def decontaminate(
    rows: Sequence[Problem], against: Sequence[Problem], params: DecontaminateParams, near: NearParams | None
) -> tuple[list[Problem], Counter[str]]:
    """The rows that `against` does not contain, and the number dropped by each reason."""
    sketcher = sketcher_of(near) if params.near else None
    both = [
        Questions.of([row.question for row in side], sketcher, [row.key for row in side])
        for side in (rows, against)
    ]
    reasons = contaminated(both[0], both[1], params, sketcher)
    dropped = Counter(REASONS[number - 1] for number in reasons[reasons > 0].tolist())
    return [row for row, reason in zip(rows, reasons, strict=True) if not reason], dropped


def _held(
    rows: Questions, against: Questions, sizes: Sizes, common: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows share a telling n-gram, and which hold a short question; what more than `common` rows hold
    is a phrase of the trade.
    """
    held = Held(sizes)
    for _, texts in against.portions():
        held.add(texts)
    held.close()
    counts, shared = np.zeros(len(held.grams), np.int64), []
    quoted, quoting = Counter[int](), list[tuple[int, int]]()
    for places, texts in rows.portions():
        own, grams = held.shared(texts)
        rare = counts[grams] <= common  # the others are too frequent already
        np.add.at(counts, grams, 1)
        shared.append(np.stack([own[rare] + places[0], grams[rare]]))
        for text, question in set(held.contained(texts)):
            quoted[question] += 1
            if quoted[question] <= common:
                quoting.append((places[text], question))
    by_gram, by_question = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for owners, grams in shared:
        by_gram[owners[counts[grams] <= common]] = True
    for place, question in quoting:
        by_question[place] |= quoted[question] <= common
    return by_gram, by_question
