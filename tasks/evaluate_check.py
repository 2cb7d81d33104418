"""What a run of `evaluate` must agree on with its questions."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.checks import File, Problem, same_checker
from tasks.evaluate_params import EvaluateRun


def check(settings: EvaluateRun, file: File) -> Iterator[Problem]:
    """The checker that its questions name."""
    yield from same_checker("reward", settings.reward.kind, settings.data, file)
