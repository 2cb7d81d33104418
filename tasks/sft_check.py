"""What a run of `sft` must agree on with its demonstrations."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.checks import File, Problem, has_validation
from tasks.sft_params import SftRun


def check(settings: SftRun, file: File) -> Iterator[Problem]:
    """Validation rows where it looks at some."""
    yield from has_validation(settings.validation_every, settings.data, file)
