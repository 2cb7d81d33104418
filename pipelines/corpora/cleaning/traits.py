"""What cleaning needs to know of each row: a few numbers instead of its texts, so that a million rows fit
into memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from pipelines.corpora.cleaning.canonical import canonical_form, loosen
from pipelines.corpora.cleaning.essence import essence_of
from pipelines.corpora.cleaning.near import Bands, Sketcher
from pipelines.corpora.cleaning.split import hash_fraction
from pipelines.corpora.cleaning.units import Hashes
from pipelines.corpora.raw.problem import Problem


@dataclass(frozen=True)
class Traits:
    """Arrays over rows. `form`, `key`, `answer`, `content`: 64-bit hashes of the canonical question, the
    source's key (0: none), the reference answer and the complete row; `order`, `side`: positions in [0, 1) by
    which rows are shuffled and split; `bands`: (rows, bands) for the near-duplicate search, of width 0 where
    there is none.
    """

    form: Hashes
    key: Hashes
    answer: Hashes
    content: Hashes
    order: NDArray[np.float64]
    side: NDArray[np.float64]
    bands: Bands

    @classmethod
    def of(cls, problems: Sequence[Problem], sketcher: Sketcher | None) -> Traits:
        """Computes the traits of problems, in order."""
        forms = [canonical_form(problem.question) for problem in problems]
        loose = [loosen(form) for form in forms]
        bands = np.empty((len(problems), 0), np.uint32)
        if sketcher is not None:
            essences = np.array([digest("\0".join(essence_of(form))) for form in forms], np.uint64)
            bands = sketcher.bands([problem.question for problem in problems], essences)
        return cls(
            np.array([digest(form) for form in forms], np.uint64),
            np.array([digest(problem.key) if problem.key else 0 for problem in problems], np.uint64),
            np.array([digest(problem.answer) for problem in problems], np.uint64),
            np.array([digest(repr(problem)) for problem in problems], np.uint64),
            np.array([hash_fraction("order:" + form) for form in loose], np.float64),
            np.array(
                [
                    hash_fraction("split:" + (problem.key or form))
                    for problem, form in zip(problems, loose, strict=True)
                ],
                np.float64,
            ),
            bands,
        )

    @classmethod
    def joined(cls, parts: Sequence[Traits]) -> Traits:
        """Concatenates traits."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def __len__(self) -> int:
        return len(self.form)

    def at_indices(self, indices: NDArray[np.int64]) -> Traits:
        """Returns the traits of the rows with these indices."""
        return Traits(*(getattr(self, field.name)[indices] for field in fields(self)))


def digest(text: str) -> int:
    """Returns the first 64 bits of the SHA-256 of `text`. The probability that any two of a million texts
    share it is 3 in 100 million.
    """
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "little")
