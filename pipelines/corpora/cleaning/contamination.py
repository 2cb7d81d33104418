"""Contamination: training rows that held-out or validation rows contain, found by equal text, equal key, a
shared n-gram, a short question that occurs in the row as a whole, or near-duplicate search.

The held-out row always stays; the other row is removed, and every reason is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.corpora.cleaning.duplicates import sketcher_of
from pipelines.corpora.cleaning.essence import reordered
from pipelines.corpora.cleaning.held_out_index import HeldOutIndex, Sizes
from pipelines.corpora.cleaning.near import NearIndex, Sketcher
from pipelines.corpora.cleaning.questions import Questions
from pipelines.corpora.corpus_params import DecontaminateParams, NearParams
from pipelines.corpora.raw.problem import Problem

REASONS = ("text", "key", "ngram", "contained", "near")
Reasons = NDArray[np.uint8]


def contaminated(
    rows: Questions, against: Questions, params: DecontaminateParams, sketcher: Sketcher | None
) -> Reasons:
    """Returns (rows,): 0 for a row that `against` does not contain, else 1 + the index in REASONS of the
    first reason that applies.
    """
    reasons = np.zeros(len(rows), np.uint8)
    if not len(rows) or not len(against):
        return reasons
    row_traits, other_traits = rows.traits, against.traits
    reasons[(row_traits.key != 0) & np.isin(row_traits.key, other_traits.key)] = 2
    reasons[np.isin(row_traits.form, other_traits.form)] = 1
    if params.ngram is not None:
        grams, contained = _shared(rows, against, Sizes(params.ngram, params.characters), params.common)
        reasons[(reasons == 0) & grams] = 3
        reasons[(reasons == 0) & contained] = 4
    if params.near and sketcher is not None:
        remaining = np.flatnonzero(reasons == 0)
        for row, index in NearIndex(other_traits.bands).candidates(row_traits.bands[remaining]):
            if not reasons[remaining[row]]:
                text, held_out = rows.text(int(remaining[row])), against.text(index)
                if sketcher.alike(text, held_out) and not reordered(text, held_out):
                    reasons[remaining[row]] = 5
    return reasons


def decontaminate(
    rows: Sequence[Problem], against: Sequence[Problem], params: DecontaminateParams, near: NearParams | None
) -> tuple[list[Problem], Counter[str]]:
    """Returns the rows that `against` does not contain, and the number of removed rows by reason."""
    sketcher = sketcher_of(near) if params.near else None
    questions = [
        Questions.of([row.question for row in side], sketcher, [row.key for row in side])
        for side in (rows, against)
    ]
    reasons = contaminated(questions[0], questions[1], params, sketcher)
    dropped = Counter(REASONS[number - 1] for number in reasons[reasons > 0].tolist())
    return [row for row, reason in zip(rows, reasons, strict=True) if not reason], dropped


def _shared(
    rows: Questions, against: Questions, sizes: Sizes, common: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Returns two masks (rows,): which rows share an n-gram with `against`, and which contain one of its
    short questions. What more than `common` rows contain is a common phrase and does not count.
    """
    index = HeldOutIndex(sizes)
    for _, texts in against.portions():
        index.add(texts)
    index.close()
    counts, shared = np.zeros(len(index.grams), np.int64), []
    quoted, quoting = Counter[int](), list[tuple[int, int]]()
    for indices, texts in rows.portions():
        owners, grams = index.shared(texts)
        rare = counts[grams] <= common  # the others are too frequent already
        np.add.at(counts, grams, 1)
        shared.append(np.stack([owners[rare] + indices[0], grams[rare]]))
        for text, question in set(index.contained(texts)):
            quoted[question] += 1
            if quoted[question] <= common:
                quoting.append((indices[text], question))
    by_gram, by_question = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for rows_of_grams, grams in shared:
        by_gram[rows_of_grams[counts[grams] <= common]] = True
    for row, question in quoting:
        by_question[row] |= quoted[question] <= common
    return by_gram, by_question
