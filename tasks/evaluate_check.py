"""Check of a run of `evaluate` against its questions."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.checks import File, Problem, has_rows, same_checker
from tasks.evaluate_params import EvaluateRun


def check(settings: EvaluateRun, file: File) -> Iterator[Problem]:
    """Yields a problem where the run's checker differs from the one that its questions name."""
    yield from has_rows("heldout", settings.data, file)
    yield from same_checker("reward", settings.reward.kind, settings.data, file)
