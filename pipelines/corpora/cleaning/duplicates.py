"""Exact and near duplicates: which rows of a list repeat an earlier one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.corpora.cleaning.canonical import canonical_form
from pipelines.corpora.cleaning.essence import reordered
from pipelines.corpora.cleaning.near import Indices, Sketcher, clusters
from pipelines.corpora.cleaning.questions import Questions
from pipelines.corpora.cleaning.units import Hashes, mix_bits
from pipelines.corpora.corpus_params import NearParams


def first_of_equal(forms: Hashes, answers: Hashes) -> tuple[Indices, int]:
    """Returns the sorted indices of the first row of each form, and how many of the other rows have another
    answer than the first.
    """
    _, first, members = np.unique(forms, return_index=True, return_inverse=True)
    return np.sort(first), int((answers != answers[first][members]).sum())


def first_of_similar(
    questions: Questions, sketcher: Sketcher, answers: NDArray[np.uint64] | None = None
) -> Indices:
    """Returns the sorted indices of the first row of each cluster of near-duplicates. With `answers`, rows
    with different answers are not duplicates.
    """
    return np.unique(cluster_questions(questions, sketcher, answers))


def cluster_questions(
    questions: Questions, sketcher: Sketcher, answers: NDArray[np.uint64] | None = None
) -> Indices:
    """Returns (questions,): the index of the first member of each question's cluster."""
    bands = questions.traits.bands
    if answers is not None:
        bands, labels = np.empty_like(bands), mix_bits(answers)
        # band by band: all bands of a million rows at once would take half a gigabyte
        for band in range(bands.shape[1]):
            bands[:, band] = mix_bits(labels ^ questions.traits.bands[:, band]) >> np.uint64(32)

    def alike(first: int, second: int) -> bool:
        first_text, second_text = questions.text(first), questions.text(second)
        return sketcher.alike(first_text, second_text) and not reordered(first_text, second_text)

    return clusters(bands, alike)


def sketcher_of(params: NearParams | None) -> Sketcher | None:
    """Returns the sketcher with these settings; None for None."""
    return None if params is None else Sketcher(params.threshold, params.shingle, params.permutations)


def exact_duplicates(texts: Sequence[str]) -> list[int]:
    """Returns the indices of texts whose canonical form occurred before."""
    seen_forms: set[str] = set()
    repeated = []
    for index, text in enumerate(texts):
        form = canonical_form(text)
        if form in seen_forms:
            repeated.append(index)
        seen_forms.add(form)
    return repeated


def near_duplicates(texts: Sequence[str], params: NearParams) -> list[int]:
    """Returns the indices of texts that are near-duplicates of an earlier one."""
    sketcher = Sketcher(params.threshold, params.shingle, params.permutations)
    originals = set(first_of_similar(Questions.of(texts, sketcher), sketcher).tolist())
    return [index for index in range(len(texts)) if index not in originals]
