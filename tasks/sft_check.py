"""Check of a run of `sft` against its demonstrations."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.checks import File, Problem, has_rows, has_validation
from tasks.sft_params import SftRun


def check(settings: SftRun, file: File) -> Iterator[Problem]:
    """Yields a problem where the set has no demonstrations, or no validation rows and validation is on."""
    yield from has_rows("sft", settings.data, file)
    yield from has_validation(settings.validation_every, settings.data, file)
