"""Check of a run of `sft` against its demonstrations."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.checks import File, Problem, has_validation
from tasks.sft_params import SftRun


def check(settings: SftRun, file: File) -> Iterator[Problem]:
    """Yields a problem where validation is on and the set has no validation rows."""
    yield from has_validation(settings.validation_every, settings.data, file)
