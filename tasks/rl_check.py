"""Check of a run of `rl` against its questions."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.checks import File, Problem, has_rows, has_validation, same_checker
from tasks.rl_params import RlRun


def check(settings: RlRun, file: File) -> Iterator[Problem]:
    """Yields a problem where validation is on without validation rows, and where the run and its questions
    name different checkers.
    """
    yield from has_rows("rl", settings.data, file)
    yield from has_validation(settings.validation_every, settings.data, file)
    if settings.checker:
        yield from same_checker("checker", settings.checker, settings.data, file)
    else:
        also = ", or name that one in checker"
        yield from same_checker("reward", settings.reward.kind, settings.data, file, also)
