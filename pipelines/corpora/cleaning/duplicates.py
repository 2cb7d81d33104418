"""Exact and near duplicates: which rows of a list say what an earlier one says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.corpora.cleaning.canonical import comparable
from pipelines.corpora.cleaning.essence import reordered
from pipelines.corpora.cleaning.near import Places, Sketcher, clusters
from pipelines.corpora.cleaning.questions import Questions
from pipelines.corpora.cleaning.units import Hashes, mixed
from pipelines.corpora.corpus_params import NearParams


def exact(forms: Hashes, answers: Hashes) -> tuple[Places, int]:
    """Places of the first of each form, and how many of the others have another answer than it."""
    _, first, members = np.unique(forms, return_index=True, return_inverse=True)
    return np.sort(first), int((answers != answers[first][members]).sum())


def near(questions: Questions, sketcher: Sketcher, answers: NDArray[np.uint64] | None = None) -> Places:
    """Places of the first of each cluster of near-duplicates; with `answers`, rows of different ones are not
    one question.
    """
    return np.unique(cluster_of(questions, sketcher, answers))


def cluster_of(questions: Questions, sketcher: Sketcher, answers: NDArray[np.uint64] | None = None) -> Places:
    """The place of the first member of each question's cluster."""
    bands = questions.traits.bands
    if answers is not None:
        bands, labels = np.empty_like(bands), mixed(answers)
        # one by one: of a million rows all at once would take half a gigabyte
        for band in range(bands.shape[1]):
            bands[:, band] = mixed(labels ^ questions.traits.bands[:, band]) >> np.uint64(32)

    def alike(one: int, other: int) -> bool:
        first, second = questions.text(one), questions.text(other)
        return sketcher.alike(first, second) and not reordered(first, second)

    return clusters(bands, alike)


def sketcher_of(params: NearParams | None) -> Sketcher | None:
    return None if params is None else Sketcher(params.threshold, params.shingle, params.permutations)


def exact_duplicates(texts: Sequence[str]) -> list[int]:
    """Places of texts whose canonical form came before."""
    seen: set[str] = set()
    repeated = []
    for place, text in enumerate(texts):
        form = comparable(text)
        if form in seen:
            repeated.append(place)
        seen.add(form)
    return repeated


def near_duplicates(texts: Sequence[str], params: NearParams) -> list[int]:
    """Places of texts that are near-duplicates of an earlier one."""
    sketcher = Sketcher(params.threshold, params.shingle, params.permutations)
    kept = set(near(Questions.of(texts, sketcher), sketcher).tolist())
    return [place for place in range(len(texts)) if place not in kept]
