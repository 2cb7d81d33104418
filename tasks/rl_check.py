"""What a run of `rl` must agree on with its questions."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.checks import File, Problem, has_validation, same_checker
from tasks.rl_params import RlRun


def check(settings: RlRun, file: File) -> Iterator[Problem]:
    """Validation rows where it looks at some; the checker that its questions name."""
    yield from has_validation(settings.validation_every, settings.data, file)
    if settings.checker:
        yield from same_checker("checker", settings.checker, settings.data, file)
    else:
        also = ", or name that one in checker"
        yield from same_checker("reward", settings.reward.kind, settings.data, file, also)
