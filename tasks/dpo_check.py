"""Check of a run of `dpo` against its pairs."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.checks import File, Problem
from tasks.pair_checks import needs_validation_pairs
from tasks.run_params import DpoRun


def check(settings: DpoRun, file: File) -> Iterator[Problem]:
    """Yields a problem where validation is on and the set has no validation pairs."""
    yield from needs_validation_pairs(settings.validation_every, settings.data, file)
